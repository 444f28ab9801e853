/* Shortest digits by trying precisions from 15 up (15 always suffices for what a person wrote; 17 always round-trips),
 * laid out as Java does. Whole numbers, the common case, take an integer path. */
#include "stream/base/dtoa.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* "d.ddddde±xx" → digits and decimal exponent. */
static int shortest(double value, char digits[20], int *ret_exponent)
{
    char text[40];
    /* subnormals carry fewer digits: look for the shortest from two on */
    for (int precision = value < 2.3e-308 ? 1 : 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    int count = 0;
    char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p != '.')
            digits[count++] = *p;
    *ret_exponent = atoi(p + 1);
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

static void add_zeros(struct tn_buf *buf, int count)
{
    for (; count > 0; count--)
        tn_buf_add_byte(buf, '0');
}

static void print_plain(const char *digits, int count, int exponent, struct tn_buf *buf)
{
    if (exponent < 0) {
        tn_buf_add_text(buf, "0.");
        add_zeros(buf, -exponent - 1);
        tn_buf_add(buf, digits, (size_t)count);
        return;
    }
    int whole = exponent + 1 < count ? exponent + 1 : count;
    tn_buf_add(buf, digits, (size_t)whole);
    add_zeros(buf, exponent + 1 - count);
    tn_buf_add_byte(buf, '.');
    if (whole < count)
        tn_buf_add(buf, digits + whole, (size_t)(count - whole));
    else
        tn_buf_add_byte(buf, '0');
}

void tn_double_print(double value, struct tn_buf *buf)
{
    char digits[20];
    int exponent;
    if (isnan(value)) {
        tn_buf_add_text(buf, "NaN");
        return;
    }
    if (signbit(value)) {
        tn_buf_add_byte(buf, '-');
        value = -value;
    }
    if (isinf(value)) {
        tn_buf_add_text(buf, "Infinity");
        return;
    }
    if (value < 1e7 && value == floor(value)) {
        tn_buf_add_i64(buf, (int64_t)value);
        tn_buf_add_text(buf, ".0");
        return;
    }
    int count = shortest(value, digits, &exponent);
    if (exponent >= -3 && exponent < 7) {
        print_plain(digits, count, exponent, buf);
        return;
    }
    tn_buf_add_byte(buf, digits[0]);
    tn_buf_add_byte(buf, '.');
    if (count > 1)
        tn_buf_add(buf, digits + 1, (size_t)count - 1);
    else
        tn_buf_add_byte(buf, '0');
    tn_buf_add_byte(buf, 'E');
    tn_buf_add_i64(buf, exponent);
}
