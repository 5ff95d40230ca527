/* SPDX-License-Identifier: MIT
 *
 * Messages on standard output, for dump and tail: read by the library as an observer, who takes nothing. */
#ifndef SHMW_CLI_SHMCOMM_MESSAGE_H
#define SHMW_CLI_SHMCOMM_MESSAGE_H

#include "../printing.h"
#include "../view.h"
#include "shmwire/shmcomm.h"

/* An observer and its buffer, which grows with the messages. Begin with {0}. */
struct watcher {
    const struct view *view;
    shmw_shmcomm *observer;
    enum message_format format;
    unsigned char *buffer;
    size_t room;
};

/* Attach at the oldest message. EXIT_FINDINGS after a diagnostic for what a receiver must refuse, EXIT_USAGE for other failures.
 * The caller closes it in every case. */
int watcher_open(const struct args *args, const struct view *view, struct watcher *watcher);
void watcher_close(struct watcher *watcher);

/* The next message, in watcher->buffer: what the library answers, but TOO_SMALL. LAPPED: ask again. */
int watcher_next(struct watcher *watcher, struct shmw_shmcomm_message *message);

void watcher_print(const struct watcher *watcher, const struct shmw_shmcomm_message *message);

/* The diagnostic and exit code for an error of watcher_next. */
int watcher_failed(const struct watcher *watcher, int code);

#endif
