/* A library for LD_PRELOAD that counts the file operations of a process under one folder, and lets the k-th go wrong.

   tests/fault_injection.py arms it after a fork, so that nothing before that counts. Names relative to a descriptor
   are resolved: the store opens every file of a study by the descriptor of its folder. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kinds of operations; tests/fault_injection.py has the same numbers. */
enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, LINK = 16, UNLINK = 32, CUT = 64, FOLDER = 128, LOCK = 256, READ = 512 };
/* What happens at the k-th of them. */
enum { NOTHING, KILL_BEFORE, KILL_AFTER, TORN, SHORT, ERROR, ERROR_ON, SHORT_THEN_ERROR_ON };
/* What an operation is to do. */
enum { PROCEED, FAIL, PROCEED_AND_DIE, HALF, HALF_AND_DIE };

static char folder[PATH_MAX];
static int kinds, kth, action, error_number, later_kinds, log_fd = -1, armed;
static atomic_int count, struck;

void shim_arm(const char *path, int kinds_, int kth_, int action_, int error_, int later_kinds_, int log_fd_) {
    strncpy(folder, path, sizeof folder - 1);
    kinds = kinds_, kth = kth_, action = action_, error_number = error_, later_kinds = later_kinds_, log_fd = log_fd_;
    count = struck = 0;
    armed = 1;
}

static void die(void) {
    for (;;) syscall(SYS_kill, getpid(), SIGKILL);
}

static void path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
}

/* Write the whole path of `name`, relative to the descriptor `at`, to `path`; return whether it lies in the folder. */
static int ours(int at, const char *name, char *path) {
    int before = errno;
    path[0] = 0;
    if (armed && name && name[0] == '/') snprintf(path, PATH_MAX, "%s", name);
    else if (armed) {
        if (at == AT_FDCWD) { if (!getcwd(path, PATH_MAX)) path[0] = 0; }
        else path_of(at, path);
        size_t length = strlen(path);
        if (name && *name && length + strlen(name) + 2 < PATH_MAX) { path[length] = '/'; strcpy(path + length + 1, name); }
    }
    errno = before;
    return armed && strncmp(path, folder, strlen(folder)) == 0;
}

static void say(const char *operation, const char *path, const char *other, long size) {
    if (log_fd < 0) return;
    char line[2 * PATH_MAX + 64];
    int before = errno, length = snprintf(line, sizeof line, "%s\t%s\t%s\t%ld\n", operation, path, other, size);
    syscall(SYS_write, log_fd, line, length);
    errno = before;
}

/* Count an operation and return what it is to do; a failing one is announced to the log. */
static int strike(int kind, const char *path) {
    if (struck && (action == ERROR_ON || action == SHORT_THEN_ERROR_ON) && (kind & later_kinds)) {
        errno = error_number;
        return FAIL;
    }
    if (!(kind & kinds)) return PROCEED;
    if (action == NOTHING) say("counted", path, "", kind);
    if (atomic_fetch_add(&count, 1) + 1 != kth) return PROCEED;
    struck = 1;
    say("STRUCK", path, "", kind);
    switch (action) {
    case KILL_BEFORE: die();
    case KILL_AFTER: return PROCEED_AND_DIE;
    case TORN: return kind == WRITE ? HALF_AND_DIE : PROCEED_AND_DIE;
    case SHORT: return kind == WRITE ? HALF : PROCEED;
    case SHORT_THEN_ERROR_ON: if (kind == WRITE) return HALF; /* falls through */
    default: errno = error_number; return FAIL;
    }
}

#define REAL(name, ...) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
/* The operation itself, its line in the log, and the death that comes after it. */
#define DO(kind, path, call, done) \
    do { \
        int todo = strike(kind, path); \
        if (todo == FAIL) return -1; \
        __typeof__(call) result = call; \
        if (result >= 0) { done; } \
        if (todo == PROCEED_AND_DIE) die(); \
        return result; \
    } while (0)

static int writes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0; }

static int is_there(const char *path) { struct stat status; return syscall(SYS_newfstatat, AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0; }

#define OPENER(name, parameters, at, given, call) \
    int name parameters { \
        mode_t mode = 0; \
        if (flags & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); } \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!ours(at, given, path)) return call; \
        int there = is_there(path); \
        DO(writes(flags) ? OPEN : READ, path, call, if (!there) say("create", path, "", 0)); \
    }
OPENER(open, (const char *name, int flags, ...), AT_FDCWD, name, real(name, flags, mode))
OPENER(open64, (const char *name, int flags, ...), AT_FDCWD, name, real(name, flags, mode))
OPENER(openat, (int at, const char *name, int flags, ...), at, name, real(at, name, flags, mode))
OPENER(openat64, (int at, const char *name, int flags, ...), at, name, real(at, name, flags, mode))

static long size_of(int fd) { struct stat status; return fstat(fd, &status) ? 0 : (long)status.st_size; }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    char path[PATH_MAX];
    if (!ours(fd, "", path)) return real(fd, data, size);
    int todo = strike(WRITE, path);
    if (todo == FAIL) return -1;
    ssize_t written = real(fd, data, (todo == HALF || todo == HALF_AND_DIE) && size > 1 ? size / 2 : size);
    if (written >= 0) say("write", path, "", size_of(fd));
    if (todo == HALF_AND_DIE || todo == PROCEED_AND_DIE) die();
    return written;
}

int fsync(int fd) {
    REAL(fsync);
    char path[PATH_MAX];
    if (!ours(fd, "", path)) return real(fd);
    DO(SYNC, path, real(fd), say("sync", path, "", size_of(fd)));
}

int fdatasync(int fd) {
    REAL(fdatasync);
    char path[PATH_MAX];
    if (!ours(fd, "", path)) return real(fd);
    DO(SYNC, path, real(fd), say("sync", path, "", size_of(fd)));
}

#define TWO_NAMES(name, parameters, kind, from_at, to_at, call) \
    int name parameters { \
        REAL(name); \
        char old[PATH_MAX], new[PATH_MAX]; \
        if (!ours(from_at, from, old) | !ours(to_at, to, new)) return call; \
        DO(kind, new, call, say(#name, new, old, 0)); \
    }
TWO_NAMES(rename, (const char *from, const char *to), RENAME, AT_FDCWD, AT_FDCWD, real(from, to))
TWO_NAMES(renameat, (int a, const char *from, int b, const char *to), RENAME, a, b, real(a, from, b, to))
TWO_NAMES(link, (const char *from, const char *to), LINK, AT_FDCWD, AT_FDCWD, real(from, to))
TWO_NAMES(linkat, (int a, const char *from, int b, const char *to, int flags), LINK, a, b, real(a, from, b, to, flags))

#define ONE_NAME(name, parameters, kind, at, call) \
    int name parameters { \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!ours(at, given, path)) return call; \
        DO(kind, path, call, say(#name, path, "", 0)); \
    }
ONE_NAME(unlink, (const char *given), UNLINK, AT_FDCWD, real(given))
ONE_NAME(unlinkat, (int at, const char *given, int flags), UNLINK, at, real(at, given, flags))
ONE_NAME(rmdir, (const char *given), UNLINK, AT_FDCWD, real(given))
ONE_NAME(mkdir, (const char *given, mode_t mode), FOLDER, AT_FDCWD, real(given, mode))
ONE_NAME(mkdirat, (int at, const char *given, mode_t mode), FOLDER, at, real(at, given, mode))

#define CUTTER(name, type) \
    int name(int fd, type length) { \
        REAL(name); \
        char path[PATH_MAX]; \
        if (!ours(fd, "", path)) return real(fd, length); \
        DO(CUT, path, real(fd, length), say("cut", path, "", (long)length)); \
    }
CUTTER(ftruncate, off_t)
CUTTER(ftruncate64, off64_t)

#define LOCKER(name) \
    int name(int fd, int command, ...) { \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        REAL(name); \
        char path[PATH_MAX]; \
        if ((command != F_SETLK && command != F_SETLKW) || !ours(fd, "", path)) return real(fd, command, argument); \
        DO(LOCK, path, real(fd, command, argument), say("lock", path, "", 0)); \
    }
LOCKER(fcntl)
LOCKER(fcntl64)
