/** The part of a socket that a connection uses, so that clients can also be served over something else than TCP. */
export interface ClientStream {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  /** Bytes written that the other side has not taken. */
  readonly writableLength: number;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'drain' | 'end' | 'close', listener: () => void): unknown;
  write(bytes: Buffer | string): boolean;
  cork(): void;
  uncork(): void;
  pause(): unknown;
  resume(): unknown;
  /** Sends what was written, then closes this side and calls back. */
  end(onFinished?: () => void): unknown;
  destroy(): unknown;
}

/** Writes what belongs together in one go. */
export function writeSegments(stream: ClientStream, segments: readonly Buffer[]): void {
  if (segments.length === 1) {
    stream.write(segments[0]!);
  } else if (segments.length > 1) {
    stream.cork();
    for (const segment of segments) stream.write(segment);
    stream.uncork();
  }
}
