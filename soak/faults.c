/* Counts the calls by which a process reads and changes what lies in one folder, and has one of
   them fail: loaded before the C library (LD_PRELOAD), armed by `soak_arm`. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SHORT = -1, KILL_BEFORE = -2, KILL_AFTER = -3 }; /* else an errno */
enum Answer { PASS, FAIL, SHORTLY, THEN_DIE };
enum { MOST = 20000 };

static char folder[PATH_MAX];
static long number, seen;
static int how, lasting, hits;
static const char *names[MOST];

void soak_arm(const char *where, long which, int action, int always) {
    snprintf(folder, sizeof folder, "%s", where);
    number = which, how = action, lasting = always;
    seen = hits = 0;
}

long soak_seen(void) { return seen < MOST ? seen : MOST; }
int soak_hits(void) { return hits; }
const char *soak_name(long call) { return call > 0 && call <= soak_seen() ? names[call - 1] : ""; }

static int under(const char *path) {
    char whole[2 * PATH_MAX];
    int saved = errno;
    size_t length = strlen(folder);
    if (!length || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, PATH_MAX)) return errno = saved, 0;
        strcat(whole, "/");
        strncat(whole, path, PATH_MAX - 1);
        path = whole;
    }
    return !strncmp(path, folder, length) && (!path[length] || path[length] == '/');
}

static int under_handle(int handle) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    ssize_t length;
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 1 || path[0] != '/') return 0; /* a pipe, a socket */
    path[length] = 0;
    return under(path);
}

static int under_at(int handle, const char *path) {
    return path && path[0] != '/' && handle != AT_FDCWD ? under_handle(handle) : under(path);
}

static enum Answer ask(const char *name, int inside) {
    if (!inside) return PASS;
    if (seen < MOST) names[seen] = name;
    ++seen;
    if (seen != number && !(lasting && number && seen > number)) return PASS;
    ++hits;
    if (how == KILL_BEFORE) kill(getpid(), SIGKILL);
    if (how == KILL_AFTER) return THEN_DIE;
    if (how == SHORT) return SHORTLY;
    errno = how;
    return FAIL;
}

static void end(enum Answer answer) {
    if (answer == THEN_DIE) kill(getpid(), SIGKILL);
}

/* A function of the C library: its result, name, parameters, arguments, what it fails with, and
   whether the folder is concerned. */
#define WRAP(type, name, parameters, arguments, failure, inside)                                   \
    type name parameters {                                                                         \
        static type(*real) parameters;                                                             \
        enum Answer answer = ask(#name, inside);                                                   \
        type result;                                                                               \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                      \
        if (answer == FAIL) return failure;                                                        \
        result = real arguments;                                                                   \
        end(answer);                                                                               \
        return result;                                                                             \
    }

/* As `WRAP`, for those that may write less than they are asked to. */
#define WRAP_WRITE(name, parameters, arguments, size)                                              \
    ssize_t name parameters {                                                                      \
        static ssize_t(*real) parameters;                                                          \
        enum Answer answer = ask(#name, under_handle(handle));                                     \
        ssize_t result;                                                                            \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                      \
        if (answer == FAIL) return -1;                                                             \
        if (answer == SHORTLY && size > 1) size /= 2;                                              \
        result = real arguments;                                                                   \
        end(answer);                                                                               \
        return result;                                                                             \
    }

#define WRAP_OPEN(name)                                                                            \
    int name(const char *path, int flags, ...) {                                                   \
        static int (*real)(const char *, int, ...);                                                \
        enum Answer answer = ask(#name, under(path));                                              \
        va_list rest;                                                                              \
        int mode, result;                                                                          \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                      \
        va_start(rest, flags), mode = va_arg(rest, int), va_end(rest);                             \
        if (answer == FAIL) return -1;                                                             \
        result = real(path, flags, mode);                                                          \
        end(answer);                                                                               \
        return result;                                                                             \
    }

#define WRAP_OPENAT(name)                                                                          \
    int name(int at, const char *path, int flags, ...) {                                           \
        static int (*real)(int, const char *, int, ...);                                           \
        enum Answer answer = ask(#name, under_at(at, path));                                       \
        va_list rest;                                                                              \
        int mode, result;                                                                          \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                      \
        va_start(rest, flags), mode = va_arg(rest, int), va_end(rest);                             \
        if (answer == FAIL) return -1;                                                             \
        result = real(at, path, flags, mode);                                                      \
        end(answer);                                                                               \
        return result;                                                                             \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)
WRAP(DIR *, opendir, (const char *path), (path), NULL, under(path))
WRAP(ssize_t, read, (int handle, void *to, size_t size), (handle, to, size), -1, under_handle(handle))
WRAP(ssize_t, pread64, (int handle, void *to, size_t size, off64_t at), (handle, to, size, at), -1,
     under_handle(handle))
WRAP_WRITE(write, (int handle, const void *from, size_t size), (handle, from, size), size)
WRAP_WRITE(pwrite64, (int handle, const void *from, size_t size, off64_t at),
           (handle, from, size, at), size)
WRAP(int, fsync, (int handle), (handle), -1, under_handle(handle))
WRAP(int, fdatasync, (int handle), (handle), -1, under_handle(handle))
WRAP(int, ftruncate64, (int handle, off64_t size), (handle, size), -1, under_handle(handle))
WRAP(int, flock, (int handle, int operation), (handle, operation), -1, under_handle(handle))
WRAP(int, rename, (const char *from, const char *to), (from, to), -1, under(to))
WRAP(int, renameat, (int at, const char *from, int there, const char *to), (at, from, there, to),
     -1, under_at(there, to))
WRAP(int, unlink, (const char *path), (path), -1, under(path))
WRAP(int, unlinkat, (int at, const char *path, int flags), (at, path, flags), -1,
     under_at(at, path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, under(path))
WRAP(int, rmdir, (const char *path), (path), -1, under(path))
WRAP(int, stat64, (const char *path, struct stat64 *to), (path, to), -1, under(path))
WRAP(int, lstat64, (const char *path, struct stat64 *to), (path, to), -1, under(path))
WRAP(int, fstat64, (int handle, struct stat64 *to), (handle, to), -1, under_handle(handle))
WRAP(int, fstatat64, (int at, const char *path, struct stat64 *to, int flags),
     (at, path, to, flags), -1, under_at(at, path))
