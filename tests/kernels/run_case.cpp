// One launch from a file, for sanitizers, which want to be in a program from its start: run_case CASE RESULT.
//
// The case is what CaseProgram of conftest.py writes. Every array lies in an allocation of its own that is not a byte
// longer than it. Outputs begin as 0xCD.

#include <cstdio>
#include <cstdlib>

#include "emulator.cpp"

static std::FILE *file;

static void *take(std::size_t bytes) {
    void *memory = std::malloc(bytes ? bytes : 1);
    if (std::fread(memory, 1, bytes, file) != bytes) {
        std::fprintf(stderr, "the case ends too early\n");
        std::exit(2);
    }
    return memory;
}

template <typename T> static T take_number() {
    T *memory = static_cast<T *>(take(sizeof(T)));
    const T number = *memory;
    std::free(memory);
    return number;
}

static void *poisoned(std::size_t bytes) {
    void *memory = std::malloc(bytes ? bytes : 1);
    return std::memset(memory, 0xCD, bytes);
}

int main(int, char **arguments) {
    file = std::fopen(arguments[1], "rb");
    char *name = static_cast<char *>(take(64));
    const int64 grid = take_number<int64>(), block = take_number<int64>(), count = take_number<int64>();
    const int64 cells = take_number<int64>(), kind = take_number<int64>(), item = take_number<int64>();
    const int64 table_bytes = take_number<int64>(), knot_bytes = take_number<int64>();
    const double gamma = take_number<double>();
    void *layers = take(count * sizeof(MembershipLayer)), *weights = take(count * 8);
    void *tables = take(table_bytes), *knots = take(knot_bytes);
    std::vector<void *> owned;
    std::vector<const void *> raw;
    std::vector<const uint8 *> given;
    for (int64 l = 0; l < count; l++) {
        const int64 skipped = take_number<int64>(), bytes = take_number<int64>(), masked = take_number<int64>();
        owned.push_back(take(bytes));
        raw.push_back(static_cast<char *>(owned.back()) + skipped);
        owned.push_back(masked ? take(cells) : nullptr);
        given.push_back(static_cast<const uint8 *>(owned.back()));
    }
    std::fclose(file);
    void *mu = poisoned(count * cells * item), *valid = poisoned(count * cells), *overlay = poisoned(cells * 4);
    const int unknown = emulate(
        name, grid, block, raw.data(), given.data(), static_cast<MembershipLayer *>(layers),
        static_cast<float *>(tables), static_cast<double *>(knots), count, cells, mu, static_cast<uint8 *>(valid),
        static_cast<double *>(weights), kind, gamma, static_cast<float *>(overlay));
    file = std::fopen(arguments[2], "wb");
    std::fwrite(mu, 1, count * cells * item, file);
    std::fwrite(valid, 1, count * cells, file);
    std::fwrite(overlay, 1, cells * 4, file);
    std::fclose(file);
    for (void *memory : {static_cast<void *>(name), layers, weights, tables, knots, mu, valid, overlay}) {
        std::free(memory);
    }
    for (void *memory : owned) {
        std::free(memory);
    }
    return unknown;
}
