"""A server that answers W&B's client as far as runs need it, and keeps what it was sent."""

import contextlib
import http.server
import json
import threading


class Server(http.server.ThreadingHTTPServer):
    """What listens on a port of this machine.

    Attributes:
      runs: what was said of each run, by id: `name`, `group`, `project`, `entity`, `config`, `program` and
        `host`, as far as they were said, and how often it was `started`.
      names: of the files that runs wanted to send.
      history: for each run, by id, the lines of its history.
      summaries: for each run its summary, as it was sent last.
      ended: for each run that is over the code that it ended with.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs, self.history, self.summaries, self.ended, self.names = {}, {}, {}, {}, set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that is gone is no error."""

    def upsert(self, given: dict) -> dict:
        run = self.runs.setdefault(given["name"], {"started": 0})
        run["started"] += given.get("displayName") is not None
        told = {"name": given.get("displayName"), "group": given.get("groupName"),
                "project": given.get("project"), "entity": given.get("entity"),
                "program": given.get("program"), "host": given.get("host"),
                "config": json.loads(given["config"]) if given.get("config") else None}
        run |= {key: value for key, value in told.items() if value is not None}
        project = {"name": run["project"], "entity": {"name": run.get("entity", "someone")}}
        bucket = {"id": given["name"], "name": given["name"], "displayName": "", "config": "{}",
                  "historyLineCount": len(self.history.get(given["name"], [])), "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": run["started"] < 2}}

    def resume(self, given: dict) -> dict:
        """Returns where a run goes on, nothing where there is none."""
        lines = self.history.get(given["name"], [])
        if given["name"] not in self.runs:
            return {"model": None}
        return {"model": {"id": "", "name": "", "entity": {"id": "", "name": "someone"}, "bucket": {
            "id": given["name"], "name": given["name"], "summaryMetrics": "{}", "displayName": "",
            "logLineCount": 0, "historyLineCount": len(lines), "eventsLineCount": 0, "eventsTail": "[]",
            "historyTail": json.dumps([json.dumps(line) for line in lines[-1:]]), "config": "{}",
            "tags": [], "wandbConfig": json.dumps({"t": 1})}}}

    def files(self, given: dict) -> dict:
        """Returns where files are to be put, which are of no interest."""
        self.names |= set(given["files"])
        files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    def stream(self, run: str, given: dict) -> None:
        files = given.get("files", {})
        if sent := files.get("wandb-history.jsonl"):
            lines = self.history.setdefault(run, [])
            lines[sent["offset"]:] = map(json.loads, sent["content"])
        if sent := files.get("wandb-summary.json"):
            self.summaries[run] = json.loads(sent["content"][-1])
        if given.get("complete"):
            self.ended[run] = given.get("exitcode")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        answer = {}
        if self.path == "/graphql":
            given = json.loads(body)
            answer = {"data": {}}
            for word, call in (("upsertBucket", self.server.upsert), ("createRunFiles", self.server.files),
                               ("RunResumeStatus", self.server.resume)):
                if word in given["query"]:
                    answer = {"data": call(given["variables"])}
        elif self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], json.loads(body))
        self._answer(answer)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._answer({})

    def do_GET(self):
        self._answer({})

    def _answer(self, answer):
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Nothing is printed."""


@contextlib.contextmanager
def serve():
    """Yields a server that runs."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
