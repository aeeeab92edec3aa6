/// A set of blocks, asked often: sorted, merged, and searched by halving.
public struct CIDRSet: Sendable, Hashable {
    private struct Run: Sendable, Hashable {
        var first: UInt128
        var last: UInt128
    }

    /// The blocks as they were given.
    public let blocks: [CIDR]
    private let v4: [Run]
    private let v6: [Run]

    /// The union of the blocks.
    public init(_ blocks: some Sequence<CIDR>) {
        self.blocks = Array(blocks)
        v4 = Self.merged(self.blocks.filter(\.base.isIPv4))
        v6 = Self.merged(self.blocks.filter { !$0.base.isIPv4 })
    }

    /// The set without a block.
    public static let empty = CIDRSet([CIDR]())

    /// Reads each text as a block.
    public init(parsing texts: [String]) throws(CIDRError) {
        var blocks: [CIDR] = []
        for text in texts { blocks.append(try CIDR(parsing: text)) }
        self.init(blocks)
    }

    /// Whether no address is in the set.
    public var isEmpty: Bool { blocks.isEmpty }

    /// Whether the address lies in one of the blocks.
    public func contains(_ address: IPAddress) -> Bool {
        let runs = address.isIPv4 ? v4 : v6
        var low = 0
        var high = runs.count
        // The first run that ends at or behind the address.
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].last < address.value { low = middle + 1 } else { high = middle }
        }
        return low < runs.count && runs[low].first <= address.value
    }

    private static func merged(_ blocks: [CIDR]) -> [Run] {
        var runs: [Run] = []
        for block in blocks.sorted(by: { $0.base.value < $1.base.value }) {
            if let last = runs.last, last.last >= block.base.value {
                runs[runs.count - 1].last = max(last.last, block.last)
            } else {
                runs.append(Run(first: block.base.value, last: block.last))
            }
        }
        return runs
    }
}
