/* SPDX-License-Identifier: MIT
 *
 * Items on standard output, for dump and tail: read by the library, as any reader of the ring does. */
#ifndef SHMW_CLI_SLICK_ITEM_H
#define SHMW_CLI_SLICK_ITEM_H

#include "../printing.h"
#include "../view.h"
#include "shmwire/slick.h"

/* A reader and its buffer, which grows with the items. Begin with {0}. */
struct taker {
    const struct view *view;
    shmw_slick_queue *queue;
    shmw_slick_reader *reader;
    enum message_format format;
    unsigned char *buffer;
    size_t room;
};

/* Attach at the oldest item. EXIT_FINDINGS after a diagnostic for what a reader must refuse, EXIT_USAGE for other failures. The
 * caller closes it in every case. */
int taker_open(const struct args *args, const struct view *view, struct taker *taker);
void taker_close(struct taker *taker);

/* The next item, in taker->buffer: what the library answers, but TOO_SMALL. LAPPED: ask again. */
int taker_next(struct taker *taker, struct shmw_slick_item *item);

/* The index that comes next. */
uint64_t taker_cursor(const struct taker *taker);

void taker_print(const struct taker *taker, const struct shmw_slick_item *item);

/* The diagnostic and exit code for an answer of taker_next that ends the reading. */
int taker_failed(const struct taker *taker, int code);

#endif
