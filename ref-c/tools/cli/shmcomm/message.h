/* SPDX-License-Identifier: MIT
 *
 * Messages on standard output, for dump and tail: read by the library as an observer, who takes nothing. */
#ifndef SHMW_CLI_SHMCOMM_MESSAGE_H
#define SHMW_CLI_SHMCOMM_MESSAGE_H

#include "../printing.h"
#include "../view.h"
#include "shmwire/shmcomm.h"

/* An observer and its buffer, which grows with the messages. Begin with {0}. */
struct taker {
    const struct view *view;
    shmw_shmcomm *observer;
    enum message_format format;
    unsigned char *buffer;
    size_t room;
};

/* Attach at the oldest message. EXIT_FINDINGS after a diagnostic for what a receiver must refuse, EXIT_USAGE for other failures.
 * The caller closes it in every case. */
int taker_open(const struct args *args, const struct view *view, struct taker *taker);
void taker_close(struct taker *taker);

/* The next message, in taker->buffer: what the library answers, but TOO_SMALL. LAPPED: ask again. */
int taker_next(struct taker *taker, struct shmw_shmcomm_message *message);

void taker_print(const struct taker *taker, const struct shmw_shmcomm_message *message);

/* The diagnostic and exit code for an error of taker_next. */
int taker_failed(const struct taker *taker, int code);

#endif
