/* SPDX-License-Identifier: MIT
 *
 * SHA-256 (FIPS 180-4) of a block of memory: replies name long payloads by it. */
#ifndef SHMW_DRIVER_SHA256_H
#define SHMW_DRIVER_SHA256_H

#include <stddef.h>

#define SHA256_BYTES 32

void sha256(const void *data, size_t len, unsigned char digest[SHA256_BYTES]);

#endif
