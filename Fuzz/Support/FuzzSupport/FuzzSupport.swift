/// Stops the run as a finding unless `condition` holds. Unlike `precondition`, it says why in an optimised build too.
@inlinable
public func require(
    _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID,
    line: UInt = #line
) {
    if !condition() { fatalError(message(), file: file, line: line) }
}

/// The value, which must be there; otherwise the run stops as a finding.
@inlinable
public func require<Value>(
    _ value: Value?, _ message: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) -> Value {
    guard let value else { fatalError(message(), file: file, line: line) }
    return value
}
