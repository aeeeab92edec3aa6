import Foundation

/// A value that one thread makes and another waits for.
final class ResultBox<Value: Sendable>: @unchecked Sendable {
    private let queue = Queue<Result<Value, any Error>>()

    func set(_ body: () throws -> Value) { queue.put(Result { try body() }) }

    func value(within seconds: Double = Deadline.patience) throws -> Value { try queue.take(within: seconds).get() }
}

/// Values on their way from threads to the test.
final class Queue<Value>: @unchecked Sendable {
    private let condition = NSCondition()
    private var values: [Value] = []

    func put(_ value: Value) {
        condition.lock()
        values.append(value)
        condition.signal()
        condition.unlock()
    }

    func take(within seconds: Double = Deadline.patience) throws -> Value {
        condition.lock()
        defer { condition.unlock() }
        let end = Date(timeIntervalSinceNow: seconds)
        while values.isEmpty {
            guard condition.wait(until: end) else { throw Failure("nothing came in \(seconds) s") }
        }
        return values.removeFirst()
    }
}

/// A number that threads add to.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var number = 0
    func add(_ more: Int) { lock.withLock { number += more } }
    var value: Int { lock.withLock { number } }
}
