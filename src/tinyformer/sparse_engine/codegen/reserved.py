"""Names that a model's prefix must not take: words of C and C++, and headers that ``<name>.h`` would hide."""

from __future__ import annotations

WORDS = frozenset(
    {
        *("alignas", "alignof", "asm", "atomic_cancel", "auto", "bool", "break", "case", "catch", "char"),
        *("class", "const", "const_cast", "constexpr", "continue", "default", "delete", "do", "double"),
        *("dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend"),
        *("goto", "if", "inline", "int", "long", "main", "mutable", "namespace", "new", "noexcept", "nullptr"),
        *("operator", "private", "protected", "public", "register", "reinterpret_cast", "restrict", "return"),
        *("short", "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch"),
        *("template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid", "typename"),
        *("typeof", "typeof_unqual", "union", "unsigned", "using", "virtual", "void", "volatile", "while"),
    }
)
"""In lower case."""

HEADERS = frozenset(
    {
        *("aio", "aliases", "alloca", "ar", "argz", "arm_acle", "arm_cmse", "arm_fp16", "arm_mve", "arm_neon"),
        *("assert", "byteswap", "cmsis_compiler", "cmsis_gcc", "cmsis_version", "complex", "conio"),
        *("core_cm0plus", "core_cm3", "core_cm33", "core_cm4", "core_cm7", "cpio", "crypt", "ctype", "devctl"),
        *("direct", "dirent", "dlfcn", "elf", "endian", "envlock", "envz", "err", "errno", "error", "execinfo"),
        *("fastmath", "fcntl", "features", "fenv", "float", "fmtmsg", "fnmatch", "fstab", "fts", "ftw"),
        *("gconv", "getopt", "glob", "grp", "gshadow", "iconv", "ieeefp", "ifaddrs", "inttypes", "io"),
        *("iso646", "langinfo", "lastlog", "libgen", "libintl", "limits", "link", "locale", "malloc", "math"),
        *("mcheck", "memory", "mntent", "monetary", "mqueue", "ndbm", "netdb", "newlib", "nl_types", "nss"),
        *("obstack", "paths", "picolibc", "poll", "printf", "proc_service", "process", "pthread", "pty", "pwd"),
        *("re_comp", "reent", "regdef", "regex", "regexp", "resolv", "sched", "search", "semaphore", "setjmp"),
        *("sgtty", "shadow", "signal", "spawn", "stab", "stdalign", "stdarg", "stdatomic", "stdbit", "stdbool"),
        *("stdckdint", "stddef", "stdint", "stdio", "stdio_ext", "stdlib", "stdnoreturn", "string", "strings"),
        *("stropts", "syscall", "sysexits", "syslog", "tar", "termio", "termios", "tgmath", "thread_db"),
        *("threads", "time", "ttyent", "uchar", "ucontext", "ulimit", "unctrl", "unistd", "unwind", "utime"),
        *("utmp", "utmpx", "values", "varargs", "wait", "wchar", "wctype", "windows", "wordexp"),
    }
)
"""Headers of C, of its libraries (glibc, musl, newlib), of compilers and CMSIS; without ``.h``, in lower case."""

PORT_HEADERS = frozenset({"board", "port", "stm32_console"})
"""Headers of the bundle's ``port`` directory."""
