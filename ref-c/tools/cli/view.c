/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "output.h"
#include "shmwire.h"

int resolve_segment(const char *operand, char locator[PATH_ROOM], char path[PATH_ROOM])
{
    struct stat status;
    const bool bare = strchr(operand, '/') == NULL;
    const bool file = bare && stat(operand, &status) == 0 && S_ISREG(status.st_mode);
    const int length = snprintf(locator, PATH_ROOM, "%s%s", file ? "./" : bare ? "/" : "", operand);
    if (operand[0] == '\0' || length < 0 || length >= PATH_ROOM)
        return usage_error("not a name of a segment: %s", operand);
    const int rc = shmw_path(locator, path, PATH_ROOM);
    return rc == SHMW_OK ? EXIT_OK : library_error(operand, rc);
}

int view_open_path(const char *path, struct view *view)
{
    /* O_NONBLOCK: a FIFO in the segment's place must not hold us. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || !view_map(fd, path, view))
        return io_error("%s: %s", path, fd >= 0 && errno == EINVAL ? "not a regular file" : strerror(errno));
    return EXIT_OK;
}

bool view_map(int fd, const char *path, struct view *view)
{
    view->base = NULL;
    view->size = 0;
    view->profile = NULL;
    view->fd = fd;
    snprintf(view->path, sizeof(view->path), "%s", path);
    if (fstat(fd, &view->status) != 0)
        return false;
    errno = EINVAL;
    if (!S_ISREG(view->status.st_mode))
        return false;
    if (view->status.st_size == 0)
        return true;
    void *base = mmap(NULL, (size_t)view->status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return false;
    view->base = base;
    view->size = (size_t)view->status.st_size;
    return true;
}

void view_close(struct view *view)
{
    if (view->base != NULL)
        munmap((void *)(uintptr_t)view->base, view->size);
    if (view->fd >= 0)
        close(view->fd);
    view->base = NULL;
    view->fd = -1;
}

const struct cli_profile *view_detect(const struct view *view)
{
    for (const struct cli_profile *const *profile = cli_profiles; *profile != NULL; profile++)
        if ((*profile)->recognise(view))
            return *profile;
    return NULL;
}

int view_open_unnamed(const struct args *args, const char *operand, struct view *view)
{
    char path[PATH_ROOM];
    view->fd = -1;
    view->base = NULL;
    int rc = resolve_segment(operand, view->locator, path);
    if (rc == EXIT_OK)
        rc = view_open_path(path, view);
    if (rc == EXIT_OK)
        view->profile = given(args, OPT_PROFILE) ? find_profile(args->value[OPT_PROFILE]) : view_detect(view);
    return rc;
}

int view_unknown(const struct view *view)
{
    return unsupported_error("%s: no magic number of a known profile (%zu bytes); --profile overrides", view->path, view->size);
}

int view_open(const struct args *args, const char *operand, struct view *view)
{
    const int rc = view_open_unnamed(args, operand, view);
    return rc == EXIT_OK && view->profile == NULL ? view_unknown(view) : rc;
}

int view_read(const struct view *view, uint64_t offset, void *to, size_t length)
{
    unsigned char *at = to;
    while (length > 0) {
        const ssize_t done = pread(view->fd, at, length, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return io_error("%s: %s", view->path, strerror(errno));
        if (done == 0)
            return io_error("%s: became shorter while it was read", view->path);
        at += done;
        offset += (uint64_t)done;
        length -= (size_t)done;
    }
    return EXIT_OK;
}
