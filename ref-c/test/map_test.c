/* SPDX-License-Identifier: MIT */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "shmwire.h"

static void posix_names_are_files_in_dev_shm(void)
{
    char path[64];
    CHECK_CODE(shmw_path("/queue", path, sizeof(path)), SHMW_OK);
    CHECK(strcmp(path, "/dev/shm/queue") == 0);
    CHECK_CODE(shmw_path("queue", path, sizeof(path)), SHMW_OK);
    CHECK(strcmp(path, "/dev/shm/queue") == 0);
    CHECK_CODE(shmw_path("/queue", path, sizeof("/dev/shm/queue")), SHMW_OK);
    CHECK_CODE(shmw_path("/queue", path, sizeof("/dev/shm/queue") - 1), SHMW_TOO_SMALL);
}

static void other_slashes_make_paths(void)
{
    char path[64];
    CHECK_CODE(shmw_path("./queue.bin", path, sizeof(path)), SHMW_OK);
    CHECK(strcmp(path, "./queue.bin") == 0);
    CHECK_CODE(shmw_path("/tmp/queue", path, sizeof(path)), SHMW_OK);
    CHECK(strcmp(path, "/tmp/queue") == 0);
}

static void bad_names_are_refused(void)
{
    static const char *const bad[] = {"", "/", ".", "..", "/.", "/.."};
    char path[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_CODE(shmw_path(bad[i], path, sizeof(path)), SHMW_INVALID_NAME);
    char name[257] = "/";
    memset(name + 1, 'n', 255);
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_INVALID_NAME);
    name[255] = '\0';
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    char *longest = malloc(PATH_MAX + 8);
    CHECK(longest != NULL);
    memset(longest, 'd', PATH_MAX + 7);
    longest[0] = longest[1] = '/';
    longest[PATH_MAX + 7] = '\0';
    CHECK_CODE(shmw_path(longest, path, sizeof(path)), SHMW_INVALID_NAME);
    free(longest);
    CHECK_CODE(shmw_path(NULL, path, sizeof(path)), SHMW_INVALID_ARGUMENT);
}

static void unlink_removes_the_name_only(void)
{
    const char *name = fresh_name();
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(name, 8192, 4096, 0600, &map), SHMW_OK);
    CHECK_CODE(shmw_unlink(name), SHMW_OK);
    CHECK_CODE(shmw_unlink(name), SHMW_NOT_FOUND);
    map.base[8191] = 7;
    CHECK_U64(map.base[8191], 7);
    shmw_map_close(&map);
}

static void create_leaves_an_existing_file_alone(void)
{
    const char *name = fresh_name();
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(name, 4096, 4096, 0640, &map), SHMW_OK);
    struct stat status;
    CHECK(fstat(map.fd, &status) == 0);
    CHECK_U64(status.st_mode & 0777, 0640);
    struct shmw_map second;
    CHECK_CODE(shmw_map_create(name, 8192, 8192, 0600, &second), SHMW_EXISTS);
    CHECK(fstat(map.fd, &status) == 0);
    CHECK_U64(status.st_size, 4096);
    shmw_map_close(&map);
}

static void a_failed_creation_frees_the_name(void)
{
    const char *name = fresh_name();
    struct shmw_map map;
    /* More than any file system has: the reservation fails after the file was made. */
    const uint64_t too_much = UINT64_C(1) << 56;
    CHECK_CODE(shmw_map_create(name, too_much, too_much, 0600, &map), SHMW_SYSTEM);
    CHECK(errno == ENOSPC || errno == EFBIG || errno == ENOMEM);
    CHECK_CODE(shmw_unlink(name), SHMW_NOT_FOUND);
}

static void open_refuses_what_is_no_segment_file(void)
{
    struct shmw_map map;
    const char *name = fresh_name();
    CHECK_CODE(shmw_map_open(name, false, 1, 0, &map), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_map_open("/tmp/", true, 1, 0, &map), SHMW_INVALID_NAME);
    char path[128];
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_CODE(shmw_map_open(name, false, 1, 0, &map), SHMW_INVALID_NAME); /* and does not hang */
    CHECK(unlink(path) == 0);
    CHECK(symlink("/etc/hostname", path) == 0);
    CHECK_CODE(shmw_map_open(name, true, 1, 0, &map), SHMW_SYSTEM); /* ELOOP: names in /dev/shm are not followed */
}

static void an_empty_file_is_waited_for(void)
{
    struct shmw_map map;
    const char *name = fresh_name();
    char path[128];
    CHECK_CODE(shmw_path(name, path, sizeof(path)), SHMW_OK);
    const int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    const uint64_t start = now_ns();
    CHECK_CODE(shmw_map_open(name, false, 1, start + 20000000, &map), SHMW_TRUNCATED);
    CHECK(now_ns() - start >= 20000000);
    CHECK(ftruncate(fd, 100) == 0);
    CHECK_CODE(shmw_map_open(name, false, 101, UINT64_MAX, &map), SHMW_TRUNCATED); /* short, not empty: no waiting */
    CHECK_CODE(shmw_map_open(name, false, 100, 0, &map), SHMW_OK);
    CHECK_U64(map.size, 100);
    shmw_map_close(&map);
    close(fd);
}

static void locks_exclude_each_other_in_one_process(void)
{
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(fresh_name(), 4096, 4096, 0600, &map), SHMW_OK);
    int lock;
    CHECK_CODE(shmw_map_lock(&map, &lock), SHMW_OK);
    CHECK(flock(map.fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK); /* another description of the same process */
    shmw_map_unlock(lock);
    CHECK(flock(map.fd, LOCK_EX | LOCK_NB) == 0);
    CHECK(flock(map.fd, LOCK_UN) == 0);
    shmw_map_close(&map);
}

static void guarded_copy_survives_truncation(void)
{
    struct shmw_map map;
    CHECK_CODE(shmw_map_create(fresh_name(), 8192, 8192, 0600, &map), SHMW_OK);
    memset(map.base, 0x5a, 8192);
    unsigned char copy[8192];
    CHECK_CODE(shmw_guarded_copy(copy, map.base, sizeof(copy)), SHMW_OK);
    CHECK_BYTES(copy, map.base, sizeof(copy));
    CHECK(ftruncate(map.fd, 4096) == 0);
    CHECK_CODE(shmw_guarded_copy(copy, map.base, sizeof(copy)), SHMW_TRUNCATED);
    CHECK_CODE(shmw_guarded_copy(copy, map.base + 4096, 1), SHMW_TRUNCATED);
    CHECK_CODE(shmw_guarded_copy(copy, map.base, 4096), SHMW_OK);
    CHECK_CODE(shmw_guarded_copy(NULL, NULL, 0), SHMW_OK);
    CHECK_CODE(shmw_guarded_copy(NULL, map.base, 1), SHMW_INVALID_ARGUMENT);
    shmw_map_close(&map);
}

static void errno_values_have_their_errors(void)
{
    CHECK_CODE(shmw_error_from_errno(ENOENT), SHMW_NOT_FOUND);
    CHECK_CODE(shmw_error_from_errno(EEXIST), SHMW_EXISTS);
    CHECK_CODE(shmw_error_from_errno(EACCES), SHMW_PERMISSION);
    CHECK_CODE(shmw_error_from_errno(EPERM), SHMW_PERMISSION);
    CHECK_CODE(shmw_error_from_errno(ENAMETOOLONG), SHMW_INVALID_NAME);
    CHECK_CODE(shmw_error_from_errno(ENOSPC), SHMW_SYSTEM);
}

RUN_TESTS(TEST(posix_names_are_files_in_dev_shm), TEST(other_slashes_make_paths), TEST(bad_names_are_refused),
          TEST(unlink_removes_the_name_only), TEST(create_leaves_an_existing_file_alone), TEST(a_failed_creation_frees_the_name),
          TEST(open_refuses_what_is_no_segment_file), TEST(an_empty_file_is_waited_for),
          TEST(locks_exclude_each_other_in_one_process), TEST(guarded_copy_survives_truncation),
          TEST(errno_values_have_their_errors))
