/* SPDX-License-Identifier: MIT */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shmwire.h"
#include "wait.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define SHM_DIRECTORY "/dev/shm/"
#define LONGEST_NAME 254
#define PATH_SIZE 4096
/* A band above this is faulted in as it is used: the first lap is slower, attaching is not. */
#define PREFAULT_LIMIT (UINT64_C(64) << 20)

int shmw_error_from_errno(int cause)
{
    switch (cause) {
    case ENOENT:
    case ENOTDIR:
        return SHMW_NOT_FOUND;
    case EEXIST:
        return SHMW_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return SHMW_PERMISSION;
    case EISDIR:
    case ENXIO:
    case ENAMETOOLONG:
        return SHMW_INVALID_NAME;
    default:
        return SHMW_SYSTEM;
    }
}

/* Names ------------------------------------------------------------------------------------------------------------ */

const char *shmw_posix_name(const char *locator)
{
    const char *name = locator[0] == '/' ? locator + 1 : locator;
    return strchr(name, '/') == NULL ? name : NULL;
}

int shmw_path(const char *locator, char *path, size_t size)
{
    if (locator == NULL || path == NULL)
        return SHMW_INVALID_ARGUMENT;
    const char *name = shmw_posix_name(locator);
    const size_t length = strlen(name != NULL ? name : locator);
    if (name != NULL && (length == 0 || length > LONGEST_NAME || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
        return SHMW_INVALID_NAME;
    if (length >= PATH_SIZE)
        return SHMW_INVALID_NAME;
    const int written = snprintf(path, size, "%s%s", name != NULL ? SHM_DIRECTORY : "", name != NULL ? name : locator);
    if (written < 0)
        return SHMW_SYSTEM;
    return (size_t)written < size ? SHMW_OK : SHMW_TOO_SMALL;
}

int shmw_unlink(const char *locator)
{
    char path[PATH_SIZE + sizeof(SHM_DIRECTORY)];
    const int rc = shmw_path(locator, path, sizeof(path));
    if (rc != SHMW_OK)
        return rc;
    return unlink(path) == 0 ? SHMW_OK : shmw_error_from_errno(errno);
}

int shmw_link(const char *locator, const char *second)
{
    char path[PATH_SIZE + sizeof(SHM_DIRECTORY)];
    char other[PATH_SIZE + sizeof(SHM_DIRECTORY)];
    int rc = shmw_path(locator, path, sizeof(path));
    if (rc == SHMW_OK)
        rc = shmw_path(second, other, sizeof(other));
    if (rc != SHMW_OK)
        return rc;
    return link(path, other) == 0 ? SHMW_OK : shmw_error_from_errno(errno);
}

/* A shared-memory name is never followed through a symbolic link: the directory is writable by everybody.
 * O_NONBLOCK: a FIFO in the segment's place must not hold us. */
int shmw_map_open_file(const char *locator, int flags, uint32_t mode, int *fd)
{
    char path[PATH_SIZE + sizeof(SHM_DIRECTORY)];
    const int rc = shmw_path(locator, path, sizeof(path));
    if (rc != SHMW_OK)
        return rc;
    if (shmw_posix_name(locator) != NULL)
        flags |= O_NOFOLLOW;
    do
        *fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, (mode_t)mode);
    while (*fd < 0 && errno == EINTR);
    return *fd >= 0 ? SHMW_OK : shmw_error_from_errno(errno);
}

/* Mapping ---------------------------------------------------------------------------------------------------------- */

int shmw_map_file(struct shmw_map *map, uint64_t size)
{
    if (size > SIZE_MAX)
        return SHMW_UNSUPPORTED;
    const int protection = map->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *base = mmap(NULL, (size_t)size, protection, MAP_SHARED, map->fd, 0);
    if (base == MAP_FAILED)
        return SHMW_SYSTEM;
    map->base = base;
    map->size = (size_t)size;
    return SHMW_OK;
}

int shmw_map_create(const char *locator, uint64_t size, uint64_t reserve, uint32_t mode, struct shmw_map *map)
{
    *map = (struct shmw_map){.fd = -1, .writable = true};
    if (size > INT64_MAX)
        return SHMW_INVALID_ARGUMENT;
    int rc = shmw_map_open_file(locator, O_RDWR | O_CREAT | O_EXCL, mode, &map->fd);
    if (rc != SHMW_OK)
        return rc;
    rc = ftruncate(map->fd, (off_t)size) == 0 ? SHMW_OK : SHMW_SYSTEM;
    if (rc == SHMW_OK)
        rc = shmw_map_reserve(map, 0, reserve);
    if (rc == SHMW_OK)
        rc = shmw_map_file(map, size);
    if (rc == SHMW_OK)
        return SHMW_OK;
    const int cause = errno;
    close(map->fd);
    shmw_unlink(locator); /* ours since O_EXCL succeeded, and not published */
    errno = cause;
    return rc;
}

int shmw_map_anonymous(uint64_t size, struct shmw_map *map)
{
    *map = (struct shmw_map){.fd = -1, .writable = true};
    if (size == 0 || size > INT64_MAX || size > SIZE_MAX)
        return SHMW_INVALID_ARGUMENT;
    void *base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return SHMW_SYSTEM;
    map->base = base;
    map->size = (size_t)size;
    return SHMW_OK;
}

/* Size of the file once it has one, or as it is at the deadline. */
static int await_size(int fd, uint64_t deadline, uint64_t *size)
{
    struct shmw_backoff backoff = {0};
    for (;;) {
        struct stat status;
        const bool last = shmw_expired(deadline);
        if (fstat(fd, &status) != 0)
            return SHMW_SYSTEM;
        if (!S_ISREG(status.st_mode))
            return SHMW_INVALID_NAME;
        *size = (uint64_t)status.st_size;
        if (*size != 0 || last)
            return SHMW_OK;
        shmw_backoff_pause(&backoff, deadline);
    }
}

int shmw_map_open(const char *locator, bool read_only, uint64_t least, uint64_t deadline, struct shmw_map *map)
{
    *map = (struct shmw_map){.fd = -1, .writable = !read_only};
    int rc = shmw_map_open_file(locator, read_only ? O_RDONLY : O_RDWR, 0, &map->fd);
    if (rc != SHMW_OK)
        return rc;
    uint64_t size = 0;
    rc = await_size(map->fd, deadline, &size);
    if (rc == SHMW_OK && size < least)
        rc = SHMW_TRUNCATED;
    if (rc == SHMW_OK)
        rc = shmw_map_file(map, size);
    if (rc == SHMW_OK)
        return SHMW_OK;
    const int cause = errno;
    close(map->fd);
    errno = cause;
    return rc;
}

void shmw_map_close(struct shmw_map *map)
{
    munmap(map->base, map->size);
    if (map->fd >= 0)
        close(map->fd);
}

/* Locking and memory ----------------------------------------------------------------------------------------------- */

int shmw_map_lock(const struct shmw_map *map, int *lock)
{
    /* flock belongs to the open file description, which threads and forked children share: hence one of our own. */
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", map->fd);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? SHMW_PERMISSION : SHMW_SYSTEM;
    int rc;
    do
        rc = flock(fd, LOCK_EX);
    while (rc != 0 && errno == EINTR);
    if (rc == 0) {
        *lock = fd;
        return SHMW_OK;
    }
    const int cause = errno;
    close(fd);
    errno = cause;
    return SHMW_SYSTEM;
}

void shmw_map_unlock(int lock)
{
    const int cause = errno;
    flock(lock, LOCK_UN); /* not by close alone: a child forked meanwhile has the description too */
    close(lock);
    errno = cause;
}

int shmw_map_claim(const struct shmw_map *map, bool wait)
{
    int rc;
    do
        rc = flock(map->fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return SHMW_OK;
    return errno == EWOULDBLOCK ? SHMW_BUSY : SHMW_SYSTEM;
}

void shmw_map_unclaim(const struct shmw_map *map)
{
    const int cause = errno;
    flock(map->fd, LOCK_UN);
    errno = cause;
}

int shmw_map_reserve(const struct shmw_map *map, uint64_t offset, uint64_t length)
{
    int rc;
    do
        rc = fallocate(map->fd, 0, (off_t)offset, (off_t)length);
    while (rc != 0 && errno == EINTR);
    if (rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
        return SHMW_OK;
    return SHMW_SYSTEM;
}

void shmw_map_prefault(const struct shmw_map *map, uint64_t offset, uint64_t length)
{
    if (!map->writable || length > PREFAULT_LIMIT)
        return;
    const int cause = errno;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t start = offset & ~(page - 1);
    (void)madvise(map->base + start, (size_t)(offset + length - start), MADV_POPULATE_WRITE);
    errno = cause;
}

int shmw_guarded_copy(void *to, const void *from, size_t len)
{
    if (len != 0 && (to == NULL || from == NULL))
        return SHMW_INVALID_ARGUMENT;
    unsigned char *out = to;
    uintptr_t in = (uintptr_t)from;
    const pid_t self = getpid();
    while (len > 0) {
        const struct iovec local = {.iov_base = out, .iov_len = len};
        const struct iovec remote = {.iov_base = (void *)in, .iov_len = len};
        const ssize_t done = process_vm_readv(self, &local, 1, &remote, 1, 0);
        if (done <= 0)
            return done == 0 || errno == EFAULT ? SHMW_TRUNCATED : errno == ENOSYS ? SHMW_UNSUPPORTED : SHMW_SYSTEM;
        out += done;
        in += (uintptr_t)done;
        len -= (size_t)done;
    }
    return SHMW_OK;
}
