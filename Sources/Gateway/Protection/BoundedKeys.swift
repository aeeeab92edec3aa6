/// Something small for each key, for a bounded number of keys.
///
/// New keys take the place of idle ones, which a hand going round finds a few at a time; where none is found, they share
/// `shared` places by their hash. Values that are not idle are never dropped.
struct BoundedKeys<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// Old keys looked at for each new one. More than one, so that the table shrinks faster than it grows.
    private static var looks: Int { 4 }
    /// Places for newcomers when every key owes something.
    private static var sharedPlaces: Int { 1024 }

    private let capacity: Int
    private let empty: Value
    private var places: [Key: Int] = [:]
    private var entries: [(key: Key, value: Value)] = []
    private var hand = 0
    private var shared: [Value] = []

    init(capacity: Int, empty: Value) {
        precondition(capacity > 0, "no room for any key")
        self.capacity = capacity
        self.empty = empty
    }

    var count: Int { entries.count }

    /// What is known about a key, its share of a common place included; nil if nothing is.
    func value(_ key: Key) -> Value? {
        if let place = places[key] { return entries[place].value }
        return shared.isEmpty ? nil : shared[Self.place(key)]
    }

    /// Changes the value of a key, which begins as `empty`.
    mutating func update<R>(_ key: Key, isIdle: (Value) -> Bool, _ body: (inout Value) -> R) -> R {
        if let place = places[key] { return body(&entries[place].value) }
        sweep(isIdle)
        if entries.count < capacity {
            // Shared debts are not taken along: they are others' as well. They fade by themselves.
            places[key] = entries.count
            entries.append((key, empty))
            return body(&entries[entries.count - 1].value)
        }
        if shared.isEmpty { shared = Array(repeating: empty, count: Self.sharedPlaces) }
        return body(&shared[Self.place(key)])
    }

    private mutating func sweep(_ isIdle: (Value) -> Bool) {
        for _ in 0..<min(Self.looks, entries.count) {
            if hand >= entries.count { hand = 0 }
            if isIdle(entries[hand].value) {
                remove(hand)
                if entries.isEmpty { return }
            } else {
                hand += 1
            }
        }
    }

    /// The last entry moves into the gap.
    private mutating func remove(_ place: Int) {
        places[entries[place].key] = nil
        let last = entries.removeLast()
        if place < entries.count {
            entries[place] = last
            places[last.key] = place
        }
    }

    /// `hashValue` has a seed that is random for each process.
    private static func place(_ key: Key) -> Int { Int(UInt(bitPattern: key.hashValue) % UInt(sharedPlaces)) }
}
