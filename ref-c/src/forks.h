/* SPDX-License-Identifier: MIT
 *
 * Descriptors that a forked child must not have: what their description locks would outlive the process that it stands for. The
 * library's one piece of global state: a list of them, and a mutex that keeps fork() out while one is opened or closed. */
#ifndef SHMW_SRC_FORKS_H
#define SHMW_SRC_FORKS_H

#include <stdbool.h>

struct shmw_guarded {
    struct shmw_guarded *next;
    struct shmw_guarded *previous;
    int fd;      /* -1: none. Changed under the mutex */
    bool listed;
    bool gone; /* this is a forked child, where it has been closed. Stored before the child runs anything else */
};

/* No fork() of another thread comes between these two. Not to be nested. */
void shmw_forks_hold(void);
void shmw_forks_release(void);

/* While held: put an entry on the list, or take it off. SHMW_SYSTEM when the system refuses the handlers. */
int shmw_forks_add(struct shmw_guarded *guarded);
void shmw_forks_drop(struct shmw_guarded *guarded);

/* Close the descriptor and take the entry off the list. Nothing happens twice. */
void shmw_forks_close(struct shmw_guarded *guarded);

#endif
