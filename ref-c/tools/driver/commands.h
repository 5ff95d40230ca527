/* SPDX-License-Identifier: MIT
 *
 * The commands of driver protocol 1 (section 2), and the handles that they work on. */
#ifndef SHMW_DRIVER_COMMANDS_H
#define SHMW_DRIVER_COMMANDS_H

#include "request.h"

/* Do what rq->body asks for. SHMW_OK with rq->ok filled, or an error or DRIVER_ code. */
int commands_run(struct request *rq);

/* Has `bye` been said? */
bool commands_leaving(void);

/* What `reset` does: all handles, the armed actor and the injections. */
void commands_drop_everything(void);

#endif
