/* Makes the disk fail, for tests: loaded into the server by LD_PRELOAD, it stands between the program
 * and the system calls that change files. What fails is said by a file named `faults` beside the data
 * directory, read anew at every call, so that a test can change it while the server runs.
 *
 * A line is OPERATION FILE ACTION NUMBER, such as
 *
 *     write tradewind.db-wal fail 28      every write to this file fails with this errno
 *     sync  *                slow 200     every sync takes this many milliseconds longer
 *     write *                limit 65536  the disk is full: no file grows beyond this many bytes
 *     write *                torn 5       half of it is written, and it fails
 *     sync  *                die 5        from the first sync on, everything fails
 *
 * Operations are write, sync, truncate and read; `*` is every file of the data directory. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum action { NONE, FAIL, SLOW, LIMIT, TORN, DIE };

struct fault {
    enum action action;
    long number;
};

static volatile int dead;

/* Reads the file of faults beside the directory of the file behind fd, if that is one of ours. */
static struct fault find(const char *operation, int fd)
{
    struct fault none = { NONE, 0 };
    char link[64], path[4096], text[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 16);
    if (length <= 0)
        return none;
    path[length] = 0;
    char *name = strrchr(path, '/');
    if (!name || name - path < 5 || strncmp(name - 5, "/data", 5) != 0)
        return none;
    char file[256];
    snprintf(file, sizeof file, "%s", name + 1);
    strcpy(name - 4, "faults");
    int control = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    if (control < 0) {
        dead = 0;
        return none;
    }
    length = syscall(SYS_read, control, text, sizeof text - 1);
    syscall(SYS_close, control);
    if (length <= 0) {
        dead = 0;
        return none;
    }
    text[length] = 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char on[16], of[64], what[16];
        long number;
        if (sscanf(line, "%15s %63s %15s %ld", on, of, what, &number) != 4)
            continue;
        if (strcmp(of, "*") != 0 && strcmp(of, file) != 0)
            continue;
        enum action action = !strcmp(what, "fail") ? FAIL
            : !strcmp(what, "slow") ? SLOW
            : !strcmp(what, "limit") ? LIMIT
            : !strcmp(what, "torn") ? TORN
            : !strcmp(what, "die") ? DIE
            : NONE;
        if (action == DIE) {
            if (strcmp(on, operation) == 0)
                dead = 1;
            if (dead)
                return (struct fault){ FAIL, number };
        } else if (strcmp(on, operation) == 0) {
            return (struct fault){ action, number };
        }
    }
    return none;
}

/* Whether the call fails; takes its time if it is slow. */
static int fails(struct fault fault)
{
    if (fault.action == SLOW) {
        struct timespec wait = { fault.number / 1000, fault.number % 1000 * 1000000 };
        nanosleep(&wait, NULL);
    }
    if (fault.action == FAIL) {
        errno = fault.number;
        return 1;
    }
    return 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    struct fault fault = find("write", fd);
    if (fails(fault))
        return -1;
    if (fault.action == TORN) {
        syscall(SYS_pwrite64, fd, bytes, count / 2, at);
        errno = fault.number;
        return -1;
    }
    if (fault.action == LIMIT && at + (off64_t)count > fault.number) {
        if (at >= fault.number) {
            errno = ENOSPC;
            return -1;
        }
        count = fault.number - at;
    }
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    return pwrite64(fd, bytes, count, at);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    if (fails(find("write", fd)))
        return -1;
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at)
{
    if (fails(find("read", fd)))
        return -1;
    return syscall(SYS_pread64, fd, bytes, count, at);
}

int fsync(int fd)
{
    return fails(find("sync", fd)) ? -1 : syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails(find("sync", fd)) ? -1 : syscall(SYS_fdatasync, fd);
}

int ftruncate64(int fd, off64_t length)
{
    return fails(find("truncate", fd)) ? -1 : syscall(SYS_ftruncate, fd, length);
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}
