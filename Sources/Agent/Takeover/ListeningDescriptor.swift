import EventLoop

/// The number of a socket that listens, for copies of it; who closes the socket says so first.
final class ListeningDescriptor: Sendable {
    private let number: Locked<Int32?>

    /// Remembers a socket that somebody else owns.
    init(_ number: Int32) { self.number = Locked(number) }

    /// Another descriptor for the same socket, for another process; nil when it is closed.
    func duplicate() throws(SystemError) -> Int32? {
        let result: Result<Int32?, SystemError> = number.withLock { number in
            do throws(SystemError) {
                guard let number else { return .success(nil) }
                return .success(try Socket.duplicate(number).release())
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// The socket will be closed.
    func forget() { number.withLock { $0 = nil } }
}
