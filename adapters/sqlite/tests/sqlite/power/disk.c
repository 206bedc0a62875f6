/* Loaded before libc: notes what a process does to the files of one directory, in the order in
 * which it takes effect, so that a test can tell what a power loss leaves of them; and lets some
 * of it fail.
 *
 * DISK_DIRECTORY   whose files
 * DISK_TRACE       where the notes go
 * DISK_FAIL        "sync|write SUFFIX FROM COUNT": of the files with that suffix, the calls from
 *                  FROM on fail, COUNT of them: a sync with EIO, a write with ENOSPC
 *
 * A note: kind, length of the name, name, offset, length (8 bytes each, of this machine), data.
 * Kinds: C made, W written, T cut to length, S synced, U removed, D directory synced. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4096
#define NAME 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char names[FILES][NAME];
static int trace = -1;
static char directory[4096];
static char fail_kind[16], fail_suffix[NAME];
static long fail_from, fail_count, fail_seen;

#define REAL(type, name, ...)                                                                    \
    static type (*real)(__VA_ARGS__);                                                            \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t put(int fd, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return real(fd, data, length);
}

static int open_plain(const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...);
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("DISK_DIRECTORY"), *notes = getenv("DISK_TRACE");
    const char *fail = getenv("DISK_FAIL");
    if (!where || !notes) return;
    trace = open_plain(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    snprintf(directory, sizeof directory, "%s", where);
    if (fail) sscanf(fail, "%15s %63s %ld %ld", fail_kind, fail_suffix, &fail_from, &fail_count);
}

/* The name within the directory; empty for the directory; null for what is not ours. */
static const char *ours(const char *path) {
    size_t length = strlen(directory);
    if (trace < 0 || !length || strncmp(path, directory, length)) return NULL;
    if (!path[length]) return "";
    if (path[length] != '/') return NULL;
    const char *name = path + length + 1, *end = name + strlen(name);
    if (!*name) return "";
    if (end - name >= 4 && !strcmp(end - 4, "-shm")) return NULL;
    return strlen(name) < NAME - 1 ? name : NULL;
}

static void note(char kind, const char *name, uint64_t offset, uint64_t length, const void *data,
                 size_t bytes) {
    size_t n = strlen(name), size = 2 + n + 16 + bytes;
    unsigned char *line = malloc(size), *at = line;
    *at++ = kind;
    *at++ = (unsigned char)n;
    memcpy(at, name, n), at += n;
    memcpy(at, &offset, 8), at += 8;
    memcpy(at, &length, 8), at += 8;
    if (bytes) memcpy(at, data, bytes);
    if (put(trace, line, size) != (ssize_t)size) abort();
    free(line);
}

/* The name of an open file of ours, with a mark before it; null for others. */
static const char *name_of(int fd) {
    return fd >= 0 && fd < FILES && names[fd][0] ? names[fd] + 1 : NULL;
}

static int fails(const char *kind, const char *name) {
    size_t n = strlen(name), s = strlen(fail_suffix);
    if (!s || strcmp(kind, fail_kind) || n < s || strcmp(name + n - s, fail_suffix)) return 0;
    fail_seen++;
    return fail_seen >= fail_from && fail_seen < fail_from + fail_count;
}

static int opened(const char *path, int flags, mode_t mode) {
    const char *name = ours(path);
    if (!name) return open_plain(path, flags, mode);
    pthread_mutex_lock(&lock);
    int missing = access(path, F_OK) != 0;
    int fd = open_plain(path, flags, mode);
    if (fd >= 0 && fd < FILES) {
        snprintf(names[fd], NAME, ">%s", name);
        if (missing) note('C', name, 0, 0, NULL, 0);
        if (flags & O_TRUNC) note('T', name, 0, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE                                                                                     \
    va_list rest;                                                                                \
    va_start(rest, flags);                                                                       \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                       \
    va_end(rest)

int open(const char *path, int flags, ...) { MODE; return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return opened(path, flags, mode); }

int close(int fd) {
    REAL(int, "close", int);
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FILES) names[fd][0] = 0;
    int result = real(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Where a plain write goes: behind the end in append mode. */
static off_t place(int fd) {
    struct stat stat;
    if (fcntl(fd, F_GETFL) & O_APPEND) return fstat(fd, &stat) ? 0 : stat.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

static ssize_t written(int fd, const void *data, size_t length, off_t offset, int positioned) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    const char *name = name_of(fd);
    if (!name) return positioned ? real(fd, data, length, offset) : put(fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t result;
    if (fails("write", name)) {
        errno = ENOSPC;
        result = -1;
    } else {
        if (!positioned) offset = place(fd);
        result = positioned ? real(fd, data, length, offset) : put(fd, data, length);
        if (result > 0) note('W', name, offset, result, data, result);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t write(int fd, const void *data, size_t length) { return written(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return written(fd, data, length, offset, 1);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    return written(fd, data, length, offset, 1);
}

static int cut(int fd, off_t length) {
    REAL(int, "ftruncate64", int, off_t);
    const char *name = name_of(fd);
    if (!name) return real(fd, length);
    pthread_mutex_lock(&lock);
    int result = real(fd, length);
    if (!result) note('T', name, 0, length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off_t length) { return cut(fd, length); }

/* The files are never synced in truth: the test decides what of them lasts. */
static int synced(int fd) {
    REAL(int, "fdatasync", int);
    const char *name = name_of(fd);
    if (!name) return real(fd);
    pthread_mutex_lock(&lock);
    int result = 0;
    if (fails("sync", name)) {
        errno = EIO;
        result = -1;
    } else {
        note(*name ? 'S' : 'D', name, 0, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    const char *name = ours(path);
    if (!name) return real(path);
    pthread_mutex_lock(&lock);
    int result = real(path);
    if (!result) note('U', name, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
