/* Counts the blocks that an emulated core executes. Compiled for the host; unicorn calls count_block before each block.
 * The layout of the structs is repeated in profile.py. */
#include <stdint.h>
#include <string.h>

typedef struct {
    uint32_t address;
    uint32_t size; /* bytes; 0 marks a free entry */
    int32_t phase;
    uint32_t instructions; /* of one execution */
    uint64_t count;
} block_entry;

typedef struct {
    const uint16_t *code;     /* the image's code, from code_start on */
    const int16_t *phases;    /* one per halfword of code: the phase that begins there, or KEEP_PHASE */
    block_entry *entries;     /* an open hash table */
    uint64_t instructions;    /* since the last reset */
    uint32_t code_start;
    uint32_t code_halfwords;
    uint32_t capacity; /* of entries, a power of two */
    uint32_t used;
    int32_t phase;  /* of the block last executed */
    uint32_t active; /* 0: count nothing */
    uint32_t lost;  /* blocks that were outside the code or found the table full */
    uint32_t reserved;
} block_profile;

enum { KEEP_PHASE = INT16_MIN };

void reset_profile(block_profile *profile, int32_t phase);
void count_block(void *engine, uint64_t address, uint32_t size, void *user_data);

void reset_profile(block_profile *profile, int32_t phase)
{
    memset(profile->entries, 0, profile->capacity * sizeof(block_entry));
    profile->instructions = 0;
    profile->used = 0;
    profile->phase = phase;
    profile->lost = 0;
}

/* A Thumb instruction takes two halfwords when the first starts with 0b11101, 0b11110 or 0b11111. */
static uint32_t count_instructions(const uint16_t *code, uint32_t halfwords)
{
    uint32_t instructions = 0;
    for (uint32_t i = 0; i < halfwords; i += code[i] >= 0xE800u ? 2u : 1u) {
        instructions++;
    }
    return instructions;
}

static block_entry *find_entry(block_profile *profile, uint32_t address, uint32_t size, uint32_t first)
{
    const uint32_t mask = profile->capacity - 1;
    uint32_t slot = (((address >> 1) * 2654435761u) ^ (size * 40503u) ^ ((uint32_t)profile->phase * 2246822519u)) & mask;
    for (;; slot = (slot + 1) & mask) {
        block_entry *entry = &profile->entries[slot];
        if (entry->size == 0) {
            if (profile->used >= mask) {
                return 0;
            }
            profile->used++;
            entry->address = address;
            entry->size = size;
            entry->phase = profile->phase;
            entry->instructions = count_instructions(profile->code + first, size / 2);
            return entry;
        }
        if (entry->address == address && entry->size == size && entry->phase == profile->phase) {
            return entry;
        }
    }
}

void count_block(void *engine, uint64_t address, uint32_t size, void *user_data)
{
    block_profile *profile = user_data;
    (void)engine;
    if (!profile->active || size == 0) {
        return;
    }
    const uint64_t first = (address - profile->code_start) / 2;
    if (address < profile->code_start || first + size / 2 > profile->code_halfwords) {
        profile->lost++;
        return;
    }
    if (profile->phases[first] != KEEP_PHASE) {
        profile->phase = profile->phases[first];
    }
    block_entry *entry = find_entry(profile, (uint32_t)address, size, (uint32_t)first);
    if (entry == 0) {
        profile->lost++;
        return;
    }
    entry->count++;
    profile->instructions += entry->instructions;
}
