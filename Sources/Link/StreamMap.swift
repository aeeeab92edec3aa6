/// Finds a stream's slot by its id: open addressing with linear probing, one word per place, no memory while empty. The
/// hash has a random multiplier per session, so that a peer can't choose ids that collide.
struct StreamMap: ~Copyable {
    private var table: UnsafeMutablePointer<UInt32>?
    private var mask = 0
    private var shift: UInt64 = 0
    private var count = 0
    private let multiplier: UInt64

    private static let empty = UInt32.max
    private static let smallest = 16

    init(seed: UInt64) { multiplier = (seed ^ 0x9E37_79B9_7F4A_7C15) &* 0xD6E8_FEB8_6659_FD93 | 1 }

    deinit { table?.deallocate() }

    var byteCount: Int { table == nil ? 0 : (mask + 1) * MemoryLayout<UInt32>.stride }

    func find(_ id: UInt64, _ slab: borrowing StreamSlab) -> UInt32? {
        guard let table else { return nil }
        var place = home(id)
        while true {
            let slot = table[place]
            if slot == StreamMap.empty { return nil }
            if slab[slot].pointee.id == id { return slot }
            place = (place + 1) & mask
        }
    }

    /// Adds a slot whose stream has its id already.
    mutating func insert(_ slot: UInt32, _ slab: borrowing StreamSlab) {
        if table == nil || count * 2 > mask { grow(slab) }
        place(slot, slab[slot].pointee.id)
        count += 1
    }

    /// Takes a slot out; its stream still has its id.
    mutating func remove(_ slot: UInt32, _ slab: borrowing StreamSlab) {
        guard let table else { return }
        var hole = home(slab[slot].pointee.id)
        while table[hole] != slot {
            if table[hole] == StreamMap.empty { return }
            hole = (hole + 1) & mask
        }
        count -= 1
        if count == 0, mask + 1 > 256 {
            table.deallocate()
            self.table = nil
            mask = 0
            return
        }
        // Close the gap: move back whatever may not lie behind it.
        var next = (hole + 1) & mask
        while table[next] != StreamMap.empty {
            let wanted = home(slab[table[next]].pointee.id)
            if (next - wanted) & mask >= (next - hole) & mask {
                table[hole] = table[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        table[hole] = StreamMap.empty
    }

    private func home(_ id: UInt64) -> Int {
        Int(truncatingIfNeeded: (id &* multiplier) >> shift) & mask
    }

    private func place(_ slot: UInt32, _ id: UInt64) {
        guard let table else { return }
        var place = home(id)
        while table[place] != StreamMap.empty { place = (place + 1) & mask }
        table[place] = slot
    }

    private mutating func grow(_ slab: borrowing StreamSlab) {
        let old = table
        let oldSize = old == nil ? 0 : mask + 1
        let size = max(oldSize * 2, StreamMap.smallest)
        let memory = UnsafeMutablePointer<UInt32>.allocate(capacity: size)
        memory.initialize(repeating: StreamMap.empty, count: size)
        table = memory
        mask = size - 1
        shift = UInt64(64 - size.trailingZeroBitCount)
        for index in 0..<oldSize {
            if let slot = old?[index], slot != StreamMap.empty { place(slot, slab[slot].pointee.id) }
        }
        old?.deallocate()
    }
}
