/* Calls that write fail when they are told to: preloaded by tests/fault_shim.py, armed in a forked child.

   Counted are calls on files below a folder whose path contains `match` ("" all, alternatives separated by |), in all
   threads. The n-th fails with `error`, and if not `once` all that follow, as on a disk that is full. With n = 0 each
   call is written down, "name path" a line, and none fails. Nothing is counted while the shim itself is at work. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096], match[256];
static long target;
static int error_number, only_once, log_file = -1;
static atomic_int armed;
static atomic_long calls, failed;
static __thread int inside;

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static ssize_t plain_write(int file, const void *bytes, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t);
    return real(file, bytes, count);
}

void fault_arm(const char *where, const char *what, long n, int error, int once, const char *count) {
    strncpy(folder, where, sizeof folder - 1);
    strncpy(match, what, sizeof match - 1);
    target = n, error_number = error, only_once = once;
    if (*count) log_file = open(count, O_WRONLY | O_CREAT | O_APPEND, 0644);
    atomic_store(&armed, 1);
}

static int matches(const char *path) {
    char parts[sizeof match], *rest = parts, *part;
    if (strncmp(path, folder, strlen(folder))) return 0;
    if (!*match) return 1;
    strcpy(parts, match);
    while ((part = strsep(&rest, "|")))
        if (strstr(path, part)) return 1;
    return 0;
}

/* Whether this call is to fail. */
static int hit(const char *name, const char *path) {
    if (!matches(path)) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (log_file >= 0) {
        char line[4300];
        int length = snprintf(line, sizeof line, "%s %s\n", name, path);
        plain_write(log_file, line, length);
    }
    if (!target || number < target || (only_once && number > target)) return 0;
    atomic_fetch_add(&failed, 1);
    errno = error_number;
    return 1;
}

static int hit_file(const char *name, int file) {
    char link[64], path[4096];
    if (!atomic_load(&armed) || inside || file < 0) return 0;
    inside = 1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    int found = hit(name, path);
    inside = 0;
    return found;
}

static int hit_path(const char *name, const char *path) {
    if (!atomic_load(&armed) || inside) return 0;
    inside = 1;
    int found = hit(name, path);
    inside = 0;
    return found;
}

#define ON_FILE(result, name, parameters, arguments, ...) \
    result name parameters { \
        REAL(result, name, __VA_ARGS__); \
        return hit_file(#name, file) ? -1 : real arguments; \
    }

ON_FILE(ssize_t, write, (int file, const void *b, size_t n), (file, b, n), int, const void *, size_t)
ON_FILE(ssize_t, pwrite, (int file, const void *b, size_t n, off_t o), (file, b, n, o), int, const void *, size_t, off_t)
ON_FILE(ssize_t, pwrite64, (int file, const void *b, size_t n, off64_t o), (file, b, n, o), int, const void *, size_t, off64_t)
ON_FILE(ssize_t, writev, (int file, const struct iovec *b, int n), (file, b, n), int, const struct iovec *, int)
ON_FILE(ssize_t, pwritev, (int file, const struct iovec *b, int n, off_t o), (file, b, n, o), int, const struct iovec *, int, off_t)
ON_FILE(int, fsync, (int file), (file), int)
ON_FILE(int, fdatasync, (int file), (file), int)
ON_FILE(int, ftruncate, (int file, off_t n), (file, n), int, off_t)
ON_FILE(int, ftruncate64, (int file, off64_t n), (file, n), int, off64_t)

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    return hit_file("fwrite", fileno(stream)) ? 0 : real(bytes, size, count, stream);
}

int fflush(FILE *stream) {
    REAL(int, fflush, FILE *);
    return stream && hit_file("fflush", fileno(stream)) ? EOF : real(stream);
}

/* The last bytes of a stream are lost, as they are when the disk fills up before they leave the buffer. */
int fclose(FILE *stream) {
    REAL(int, fclose, FILE *);
    int file = fileno(stream), writes = file >= 0 && (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (writes && hit_file("fclose", file)) {
        real(stream);
        errno = error_number;
        return EOF;
    }
    return real(stream);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return hit_path("rename", to) ? -1 : real(from, to);
}

int renameat(int a, const char *from, int b, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    return hit_path("rename", to) ? -1 : real(a, from, b, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    return hit_path("mkdir", path) ? -1 : real(path, mode);
}

#define OPENS(name, parameters, arguments, ...) \
    int name parameters { \
        REAL(int, name, __VA_ARGS__, mode_t); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        return (flags & O_CREAT) && hit_path("open", path) ? -1 : real arguments; \
    }

OPENS(open, (const char *path, int flags, ...), (path, flags, mode), const char *, int)
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode), const char *, int)
OPENS(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode), int, const char *, int)
OPENS(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode), int, const char *, int)

FILE *fopen(const char *path, const char *mode) {
    REAL(FILE *, fopen, const char *, const char *);
    return mode[0] != 'r' && hit_path("fopen", path) ? NULL : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
    REAL(FILE *, fopen64, const char *, const char *);
    return mode[0] != 'r' && hit_path("fopen", path) ? NULL : real(path, mode);
}
