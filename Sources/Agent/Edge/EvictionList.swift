/// The connections that may be closed to make room for others, longest there first: those that have not proven who they
/// are, and those that wait for their next request.
///
/// A list through the connections themselves: entering and leaving cost nothing, however many there are.
struct EvictionList {
    private var first: EdgeConnection?
    private var last: EdgeConnection?
    /// How many are in it.
    private(set) var count = 0

    /// Puts a connection at the end; it has been waiting from now on.
    mutating func append(_ connection: EdgeConnection) {
        guard !connection.isEvictable else { return }
        connection.isEvictable = true
        connection.evictionPrevious = last
        last?.evictionNext = connection
        last = connection
        if first == nil { first = connection }
        count += 1
    }

    /// Takes a connection out: it is at work, or gone.
    mutating func remove(_ connection: EdgeConnection) {
        guard connection.isEvictable else { return }
        connection.isEvictable = false
        if first === connection { first = connection.evictionNext }
        if last === connection { last = connection.evictionPrevious }
        connection.evictionPrevious?.evictionNext = connection.evictionNext
        connection.evictionNext?.evictionPrevious = connection.evictionPrevious
        connection.evictionNext = nil
        connection.evictionPrevious = nil
        count -= 1
    }

    /// The one that has been waiting longest, of those for which `condition` holds; looks at `depth` at most.
    func oldest(depth: Int = .max, where condition: (EdgeConnection) -> Bool = { _ in true }) -> EdgeConnection? {
        var candidate = first
        var looked = 0
        while let connection = candidate, looked < depth {
            if condition(connection) { return connection }
            candidate = connection.evictionNext
            looked += 1
        }
        return nil
    }
}
