/* SPDX-License-Identifier: MIT
 *
 * snapshot: a copy of a segment that appears complete or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "output.h"
#include "view.h"

#define PASSES 8
#define CHUNK ((size_t)65536)

struct copy {
    const struct view *view;
    const char *target;
    char temporary[PATH_ROOM];
    int fd;
    unsigned char *source; /* a chunk each */
    unsigned char *written;
    int passes;
    bool stable; /* the last pass found nothing changed */
};

static int write_chunk(const struct copy *copy, uint64_t offset, size_t length)
{
    for (size_t done = 0; done < length;) {
        const ssize_t n = pwrite(copy->fd, copy->source + done, length - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return io_error("%s: %s", copy->temporary, strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return EXIT_OK;
}

/* Bring one chunk of the copy up to date; *changed is set if it was not. The file begins as a hole: zeros need no writing. */
static int copy_chunk(const struct copy *copy, uint64_t offset, bool *changed)
{
    const size_t left = copy->view->size - (size_t)offset;
    const size_t length = left < CHUNK ? left : CHUNK;
    const int rc = view_read(copy->view, offset, copy->source, length);
    if (rc != EXIT_OK)
        return rc;
    for (size_t done = 0; done < length;) {
        const ssize_t n = pread(copy->fd, copy->written + done, length - done, (off_t)(offset + done));
        if (n == 0 || (n < 0 && errno != EINTR))
            return io_error("%s: %s", copy->temporary, n == 0 ? "became shorter" : strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    if (memcmp(copy->source, copy->written, length) == 0)
        return EXIT_OK;
    *changed = true;
    return write_chunk(copy, offset, length);
}

static int copy_passes(struct copy *copy)
{
    if (ftruncate(copy->fd, (off_t)copy->view->size) != 0)
        return io_error("%s: %s", copy->temporary, strerror(errno));
    while (!copy->stable && copy->passes < PASSES) {
        bool changed = false;
        for (uint64_t offset = 0; offset < copy->view->size; offset += CHUNK) {
            if (interrupted())
                return io_error("interrupted");
            const int rc = copy_chunk(copy, offset, &changed);
            if (rc != EXIT_OK)
                return rc;
        }
        copy->passes++;
        /* The first pass compares with zeros: it proves nothing about the segment. */
        copy->stable = !changed && copy->passes > 1;
    }
    return fsync(copy->fd) == 0 ? EXIT_OK : io_error("%s: %s", copy->temporary, strerror(errno));
}

/* Give the finished copy its name, unless somebody has it. */
static int publish(const struct copy *copy)
{
    if (renameat2(AT_FDCWD, copy->temporary, AT_FDCWD, copy->target, RENAME_NOREPLACE) == 0)
        return EXIT_OK;
    if (errno == EINVAL || errno == ENOSYS) { /* a file system without that flag */
        if (link(copy->temporary, copy->target) == 0) {
            unlink(copy->temporary);
            return EXIT_OK;
        }
    }
    return io_error("%s: %s", copy->target, strerror(errno));
}

static int make_copy(struct copy *copy)
{
    if (access(copy->target, F_OK) == 0)
        return io_error("%s: %s", copy->target, strerror(EEXIST));
    if (snprintf(copy->temporary, sizeof(copy->temporary), "%s.XXXXXX", copy->target) >= (int)sizeof(copy->temporary))
        return io_error("%s: %s", copy->target, strerror(ENAMETOOLONG));
    interrupt_watch();
    copy->fd = mkostemp(copy->temporary, O_CLOEXEC);
    if (copy->fd < 0)
        return io_error("%s: %s", copy->temporary, strerror(errno));
    int rc = copy_passes(copy);
    if (rc == EXIT_OK)
        rc = publish(copy);
    if (rc != EXIT_OK)
        unlink(copy->temporary);
    close(copy->fd);
    return rc;
}

static void report(const struct args *args, const struct copy *copy)
{
    if (!copy->stable)
        diagnostic("%s kept changing: the copy mixes %d moments", copy->view->path, copy->passes);
    if (!given(args, OPT_JSON)) {
        print_safe(stdout, copy->target);
        printf(": %zu bytes, %s\n", copy->view->size, copy->stable ? "consistent" : "not consistent");
        return;
    }
    struct json json;
    json_begin(&json, stdout);
    json_text(&json, "schema", "shmwire-snapshot/1");
    json_text(&json, "path", copy->view->path);
    json_text(&json, "file", copy->target);
    json_u64(&json, "size", copy->view->size);
    json_number(&json, "passes", (uint64_t)copy->passes);
    json_bool(&json, "consistent", copy->stable);
    json_end(&json);
}

int verb_snapshot(const struct args *args)
{
    struct view view;
    struct copy copy = {.view = &view, .target = args->operand[1], .fd = -1};
    int rc = view_open_unnamed(args, args->operand[0], &view);
    if (rc == EXIT_OK && view.profile == NULL)
        rc = view_unknown(&view);
    copy.source = malloc(CHUNK);
    copy.written = malloc(CHUNK);
    if (rc == EXIT_OK)
        rc = copy.source != NULL && copy.written != NULL ? make_copy(&copy) : io_error("out of memory");
    if (rc == EXIT_OK)
        report(args, &copy);
    free(copy.source);
    free(copy.written);
    view_close(&view);
    return rc;
}
