/* SPDX-License-Identifier: MIT
 *
 * Profile deepwater: names and directories. Nothing below the base directory is opened through a symbolic link. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define FNV_BASIS UINT64_C(0xCBF29CE484222325)
#define FNV_PRIME UINT64_C(0x100000001B3)
#define SEARCH(mode) ((mode) | ((mode) & 0444) >> 2) /* who may read a directory may search it */

bool shmw_deepwater_name_good(const char *name, size_t length)
{
    if (length == 0 || length > SHMW_DEEPWATER_NAME_MAX || (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))))
        return false;
    for (size_t i = 0; i < length; i++) {
        const char c = name[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static uint64_t fnv1a(const char *text)
{
    uint64_t hash = FNV_BASIS;
    for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++)
        hash = (hash ^ *at) * FNV_PRIME;
    return hash;
}

int shmw_deepwater_base_open(const char *path, uint32_t mode, struct shmw_deepwater_base *base)
{
    base->directory = -1;
    if (path == NULL || path[0] == '\0')
        return SHMW_INVALID_NAME;
    if (mode != 0 && mkdir(path, (mode_t)SEARCH(mode)) != 0 && errno != EEXIST)
        return shmw_error_from_errno(errno);
    char *real = realpath(path, NULL);
    if (real == NULL)
        return shmw_error_from_errno(errno);
    base->hash = fnv1a(real);
    base->directory = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int rc = base->directory >= 0 ? SHMW_OK : shmw_error_from_errno(errno);
    free(real);
    return rc;
}

void shmw_deepwater_base_close(struct shmw_deepwater_base *base)
{
    const int cause = errno;
    if (base->directory >= 0)
        close(base->directory);
    base->directory = -1;
    errno = cause;
}

/* The error for an open that failed: a link is refused by name, whatever the kernel calls it. */
static int refusal(int directory, const char *name)
{
    struct stat status;
    const int cause = errno;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
        return SHMW_PERMISSION; /* [deepwater.open.symlink] */
    errno = cause;
    return shmw_error_from_errno(cause);
}

static int step_down(int at, const char *name, uint32_t mode, int *fd)
{
    if (mode != 0 && mkdirat(at, name, (mode_t)SEARCH(mode)) != 0 && errno != EEXIST)
        return shmw_error_from_errno(errno);
    *fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd >= 0 ? SHMW_OK : refusal(at, name);
}

static bool components_good(const char *relative)
{
    for (const char *name = relative; name != NULL;) {
        const char *slash = strchr(name, '/');
        if (!shmw_deepwater_name_good(name, slash != NULL ? (size_t)(slash - name) : strlen(name)))
            return false;
        name = slash != NULL ? slash + 1 : NULL;
    }
    return true;
}

int shmw_deepwater_directory_open(int at, const char *relative, uint32_t mode, int *fd)
{
    int directory = at;
    int rc = components_good(relative) ? SHMW_OK : SHMW_CORRUPT; /* all of it before any is opened [deepwater.open.directory] */
    if (rc != SHMW_OK)
        return rc;
    for (const char *name = relative; name != NULL;) {
        char component[SHMW_DEEPWATER_DIRECTORY_MAX + 1];
        const char *slash = strchr(name, '/');
        const size_t length = slash != NULL ? (size_t)(slash - name) : strlen(name);
        int next = -1;
        memcpy(component, name, length);
        component[length] = '\0';
        rc = step_down(directory, component, mode, &next);
        if (directory != at)
            close(directory);
        if (rc != SHMW_OK)
            return rc;
        directory = next;
        name = slash != NULL ? slash + 1 : NULL;
    }
    *fd = directory;
    return rc;
}

int shmw_deepwater_file_open(int directory, const char *name, int flags, uint32_t mode, int *fd)
{
    struct stat status;
    do
        *fd = openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, (mode_t)mode);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0)
        return refusal(directory, name);
    if (fstat(*fd, &status) == 0 && S_ISREG(status.st_mode))
        return SHMW_OK;
    close(*fd);
    *fd = -1;
    return SHMW_INVALID_NAME;
}

void shmw_deepwater_memory_name(const struct shmw_deepwater_place *place, uint64_t id, const char *suffix, char *name)
{
    snprintf(name, SHMW_DEEPWATER_NAME_ROOM, "/dw.%016" PRIx64 ".%s.%" PRIu64 ".%s", place->base.hash, place->name, id, suffix);
}

void shmw_deepwater_file_name(uint64_t id, const char *suffix, char *name)
{
    snprintf(name, SHMW_DEEPWATER_NAME_ROOM, "chunk_%08" PRIu64 ".%s", id, suffix);
}
