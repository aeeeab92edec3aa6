/// The handlers of a loop by slot. A slot is used again, under another generation.
///
/// Every event carries slot and generation of the registration it was armed with, so that one that was fetched before a
/// descriptor was deregistered (or closed, and its number given to another) finds nobody, even within one batch.
struct HandlerSlab {
    private struct Slot {
        var handler: (any EventHandler)?
        var descriptor: Int32
        var generation: UInt32
    }

    private var slots: [Slot] = []
    private var free: [UInt32] = []
    /// The slot of each descriptor number; -1 where none is registered.
    private var slotOfDescriptor: [Int32] = []

    /// How many registrations there are.
    var count: Int { slots.count - free.count }

    /// The handler of the registration that `token` was made from, unless that is over.
    @inline(__always)
    func handler(token: UInt64) -> (any EventHandler)? {
        let slot = Int(truncatingIfNeeded: token & 0xFFFF_FFFF)
        guard slots[slot].generation == UInt32(truncatingIfNeeded: token >> 32) else { return nil }
        return slots[slot].handler
    }

    /// The descriptor of `registration`; nil where that is over.
    func descriptor(_ registration: Registration) -> Int32? {
        let slot = Int(registration.slot)
        guard slot < slots.count, slots[slot].generation == registration.generation else { return nil }
        return slots[slot].handler == nil ? nil : slots[slot].descriptor
    }

    /// A registration that may be armed now and must then be filled or removed.
    mutating func reserve() -> Registration {
        if let slot = free.popLast() {
            return Registration(slot: slot, generation: slots[Int(slot)].generation)
        }
        slots.append(Slot(handler: nil, descriptor: -1, generation: 1))
        return Registration(slot: UInt32(slots.count - 1), generation: 1)
    }

    /// Gives a reserved registration its descriptor and handler.
    ///
    /// A registration that the same number still has belongs to a descriptor that was closed without being
    /// deregistered; its handler is returned, and will hear nothing more.
    mutating func fill(
        _ registration: Registration, descriptor: Int32, handler: any EventHandler
    ) -> (any EventHandler)? {
        let index = Int(descriptor)
        if index >= slotOfDescriptor.count {
            let missing = max(index + 1 - slotOfDescriptor.count, slotOfDescriptor.count, 64)
            slotOfDescriptor.append(contentsOf: repeatElement(-1, count: missing))
        }
        let stale = slotOfDescriptor[index]
        let forgotten = stale >= 0 ? clear(UInt32(stale)) : nil
        slotOfDescriptor[index] = Int32(registration.slot)
        slots[Int(registration.slot)].descriptor = descriptor
        slots[Int(registration.slot)].handler = handler
        return forgotten
    }

    /// Ends a registration and returns its handler, so that it is not released while the slab is being changed.
    mutating func remove(_ registration: Registration) -> (any EventHandler)? {
        let descriptor = slots[Int(registration.slot)].descriptor
        if descriptor >= 0 { slotOfDescriptor[Int(descriptor)] = -1 }
        return clear(registration.slot)
    }

    private mutating func clear(_ slot: UInt32) -> (any EventHandler)? {
        let index = Int(slot)
        slots[index].generation &+= 1
        slots[index].descriptor = -1
        free.append(slot)
        return slots[index].handler.take()
    }
}
