/* RP2350 (datasheet, section 5.9.5): its boot ROM starts an image that has this block in its first 4 KB. The rest is as
 * on any board. */
#include "port.h"

#define BLOCK_START 0xFFFFDED3u
#define BLOCK_END 0xAB123579u
#define IMAGE_TYPE_ITEM 0x10210142u /* an executable for the RP2350's Arm cores, secure; the item is one word long */
#define LAST_ITEM 0x000001FFu       /* the items before take one word */
#define NEXT_BLOCK 0u               /* this one again: there is only one */

extern const uint32_t image_definition[5];
__attribute__((section(".image_definition"), used)) const uint32_t image_definition[5] = {
    BLOCK_START, IMAGE_TYPE_ITEM, LAST_ITEM, NEXT_BLOCK, BLOCK_END,
};
