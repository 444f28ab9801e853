/* Names that nobody else has: temporary files, uploads, writes to be recognised. @thread any */
#ifndef TN_CONNECTORS_OBJECT_TOKEN_H
#define TN_CONNECTORS_OBJECT_TOKEN_H

#define TNI_OBJECT_TOKEN 33 /* 16 bytes as hex, NUL */

void tni_object_token(char ret_token[TNI_OBJECT_TOKEN]);

#endif
