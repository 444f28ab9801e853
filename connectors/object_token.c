/* 128 bits of the system's random source. Not the process's own generator: two processes with one
 * seed must not take each other's write for theirs. @thread any */
#include "connectors/object_token.h"

#include <stdio.h>
#include <sys/random.h>

#include "stream/base/status.h"

void tni_object_token(char ret_token[TNI_OBJECT_TOKEN])
{
    unsigned char bytes[16];
    TN_ASSERT(getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    for (int i = 0; i < 16; i++)
        snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
}
