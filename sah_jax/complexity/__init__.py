"""C(T, s | M): what rows of programs come to, and where shorter programs are looked for."""
