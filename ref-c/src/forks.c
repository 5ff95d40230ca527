/* SPDX-License-Identifier: MIT */
#include "forks.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "shmwire.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct shmw_guarded *list;
static bool handled; /* the handlers are there */

void shmw_forks_hold(void)
{
    pthread_mutex_lock(&mutex);
}

void shmw_forks_release(void)
{
    pthread_mutex_unlock(&mutex);
}

/* In the child, by the thread that forked and held the mutex since: close(2) is all that is called. */
static void drop_all(void)
{
    for (struct shmw_guarded *at = list; at != NULL; at = at->next) {
        if (at->fd >= 0)
            close(at->fd);
        at->fd = -1;
        at->listed = false;
        at->gone = true;
    }
    list = NULL;
    pthread_mutex_unlock(&mutex);
}

int shmw_forks_add(struct shmw_guarded *guarded)
{
    if (!handled) {
        const int cause = pthread_atfork(shmw_forks_hold, shmw_forks_release, drop_all);
        if (cause != 0) {
            errno = cause;
            return SHMW_SYSTEM;
        }
        handled = true;
    }
    guarded->previous = NULL;
    guarded->next = list;
    if (list != NULL)
        list->previous = guarded;
    list = guarded;
    guarded->listed = true;
    return SHMW_OK;
}

void shmw_forks_drop(struct shmw_guarded *guarded)
{
    if (!guarded->listed)
        return;
    if (guarded->previous != NULL)
        guarded->previous->next = guarded->next;
    else
        list = guarded->next;
    if (guarded->next != NULL)
        guarded->next->previous = guarded->previous;
    guarded->listed = false;
}

void shmw_forks_close(struct shmw_guarded *guarded)
{
    const int cause = errno;
    shmw_forks_hold();
    shmw_forks_drop(guarded);
    if (guarded->fd >= 0)
        close(guarded->fd);
    guarded->fd = -1;
    shmw_forks_release();
    errno = cause;
}
