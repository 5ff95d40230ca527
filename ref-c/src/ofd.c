/* SPDX-License-Identifier: MIT */
#include "ofd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shmwire.h"

/* l_pid stays 0, as the kernel wants it for these. */
static struct flock range(short type, uint64_t first, uint64_t count)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)first, .l_len = (off_t)count};
}

int shmw_ofd_take(int fd, uint64_t byte)
{
    struct flock lock = range(F_WRLCK, byte, 1);
    int rc;
    do
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return SHMW_OK;
    return errno == EAGAIN || errno == EACCES ? SHMW_BUSY : SHMW_SYSTEM;
}

void shmw_ofd_give(int fd, uint64_t byte)
{
    struct flock lock = range(F_UNLCK, byte, 1);
    const int cause = errno;
    while (fcntl(fd, F_OFD_SETLK, &lock) != 0 && errno == EINTR)
        continue;
    errno = cause;
}

int shmw_ofd_ask(int fd, uint64_t first, uint64_t count)
{
    struct flock lock = range(F_RDLCK, first, count); /* would a read lock be granted? Only a write lock says no */
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        return SHMW_SYSTEM;
    return lock.l_type == F_UNLCK ? SHMW_OK : SHMW_BUSY;
}
