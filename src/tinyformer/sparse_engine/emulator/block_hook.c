/* Counts the blocks that an emulated core executes, by what ran before them, and samples the registers at their start.
 * Compiled for the host; unicorn calls count_block before each block. The layout of the structs is repeated in
 * profile.py. */
#include <stdint.h>
#include <string.h>

enum {
    KEEP_PHASE = INT16_MIN,
    REGISTERS = 15,        /* r0 to r12, sp, lr */
    FIRST_REGISTER = 66,   /* unicorn's number of r0; r1 to r12 follow */
    STACK_POINTER = 12,    /* unicorn's numbers */
    LINK_REGISTER = 10,
    SAMPLE_PERIOD = 61,    /* a prime, so that it does not beat with the length of a loop */
    SAMPLE_LIMIT = 60000,
};

typedef int (*register_reader)(void *engine, int regid, void *value);

typedef struct {
    uint32_t address;
    uint32_t size; /* bytes; 0 marks a free entry */
    int32_t phase;
    uint32_t instructions; /* of one execution */
    uint64_t count;
    uint32_t previous; /* address of the block that ran just before, in whichever phase; NO_BLOCK after a reset */
    uint32_t samples;  /* how often the registers were read */
    uint32_t first[REGISTERS];
    uint32_t low[REGISTERS];
    uint32_t high[REGISTERS];
    uint16_t low_bits[REGISTERS][4]; /* samples by the value's two lowest bits */
} block_entry;

#define NO_BLOCK 0xFFFFFFFFu

typedef struct {
    const uint16_t *code;     /* the image's code, from code_start on */
    const int16_t *phases;    /* one per halfword of code: the phase that begins there, or KEEP_PHASE */
    block_entry *entries;     /* an open hash table */
    uint32_t *slots;          /* the numbers of the entries in use */
    register_reader read_register;
    uint64_t instructions;    /* since the last reset */
    uint32_t code_start;
    uint32_t code_halfwords;
    uint32_t capacity; /* of entries, a power of two */
    uint32_t used;
    int32_t phase;  /* of the block last executed */
    uint32_t active; /* 0: count nothing */
    uint32_t lost;  /* blocks that were outside the code or found the table full */
    uint32_t previous;
} block_profile;

void reset_profile(block_profile *profile, int32_t phase);
void count_block(void *engine, uint64_t address, uint32_t size, void *user_data);

void reset_profile(block_profile *profile, int32_t phase)
{
    for (uint32_t i = 0; i < profile->used; i++) {
        memset(&profile->entries[profile->slots[i]], 0, sizeof(block_entry));
    }
    profile->instructions = 0;
    profile->used = 0;
    profile->phase = phase;
    profile->lost = 0;
    profile->previous = NO_BLOCK;
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
    const uint32_t previous = profile->previous;
    uint32_t hash = ((address >> 1) * 2654435761u) ^ (size * 40503u) ^ ((uint32_t)profile->phase * 2246822519u);
    hash ^= (previous >> 1) * 3266489917u;
    uint32_t slot = (hash ^ (hash >> 15)) & mask;
    for (;; slot = (slot + 1) & mask) {
        block_entry *entry = &profile->entries[slot];
        if (entry->size == 0) {
            if (profile->used >= mask) {
                return 0;
            }
            profile->slots[profile->used++] = slot;
            entry->address = address;
            entry->size = size;
            entry->phase = profile->phase;
            entry->previous = previous;
            entry->instructions = count_instructions(profile->code + first, size / 2);
            return entry;
        }
        if (entry->address == address && entry->size == size && entry->phase == profile->phase &&
            entry->previous == previous) {
            return entry;
        }
    }
}

static void sample_registers(const block_profile *profile, void *engine, block_entry *entry)
{
    for (int i = 0; i < REGISTERS; i++) {
        const int number = i < 13 ? FIRST_REGISTER + i : i == 13 ? STACK_POINTER : LINK_REGISTER;
        uint32_t value = 0;
        (void)profile->read_register(engine, number, &value);
        if (entry->samples == 0) {
            entry->first[i] = value;
            entry->low[i] = value;
            entry->high[i] = value;
        }
        entry->low[i] = value < entry->low[i] ? value : entry->low[i];
        entry->high[i] = value > entry->high[i] ? value : entry->high[i];
        entry->low_bits[i][value & 3u]++;
    }
    entry->samples++;
}

/* Whether the registers are read at this execution: the first four, powers of two and every SAMPLE_PERIODth. */
static int is_sampled(uint64_t count)
{
    return count <= 4 || (count & (count - 1)) == 0 || count % SAMPLE_PERIOD == 0;
}

void count_block(void *engine, uint64_t address, uint32_t size, void *user_data)
{
    block_profile *profile = user_data;
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
    profile->previous = (uint32_t)address;
    if (profile->read_register != 0 && entry->samples < SAMPLE_LIMIT && is_sampled(entry->count)) {
        sample_registers(profile, engine, entry);
    }
}
