/// Who sends next: two rings, as in fair queueing with sparse flows first (RFC 8290 §4.2).
///
/// A *sparse* stream, one whose turns have been short, goes before the streams that move bulk: a question or a keystroke
/// waits for no transfer. So bulk may go in large frames, which cost fewer system calls on both sides. A stream that
/// fills its turn is bulk from then on, until it has a short one. Sparse streams cannot starve bulk: after
/// `sparseTurns` of them in a row one bulk stream has its turn.
struct SendRound: ~Copyable {
    private var sparse = StreamRing.sparse()
    private var bulk = StreamRing.bulk()
    private var sparseTurnsTaken = 0

    /// Turns of sparse streams in a row while bulk waits; of 16 KiB each, they are no more than four turns of bulk.
    static let sparseTurns = 16

    /// Streams that wait for their turn.
    var count: Int { sparse.count + bulk.count }

    /// Adds `slot` at the end of its ring, unless it is in one.
    mutating func insert(_ slot: UInt32, _ slab: borrowing StreamSlab) {
        let stream = slab[slot]
        guard !stream.pointee.inSparse, !stream.pointee.inBulk else { return }
        if stream.pointee.isBulk { bulk.insert(slot, slab) } else { sparse.insert(slot, slab) }
    }

    /// Takes `slot` out, if it is in.
    mutating func remove(_ slot: UInt32, _ slab: borrowing StreamSlab) {
        sparse.remove(slot, slab)
        bulk.remove(slot, slab)
    }

    /// The slot whose turn it is, and whether as a sparse stream. It stays in the round, at the end of the bulk ring, until
    /// it is taken out. The round is not empty.
    mutating func next(_ slab: borrowing StreamSlab) -> (slot: UInt32, sparse: Bool) {
        if sparse.count > 0, bulk.count == 0 || sparseTurnsTaken < SendRound.sparseTurns {
            sparseTurnsTaken += 1
            let slot = sparse.head
            sparse.remove(slot, slab)
            bulk.insert(slot, slab)
            return (slot, true)
        }
        sparseTurnsTaken = 0
        return (bulk.rotate(slab), false)
    }
}
