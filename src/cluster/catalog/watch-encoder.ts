/**
 * Encodes messages for many watch streams: what is equal but for its number in the stream is encoded once and copied, so
 * that a thousand watchers at the same version cost one encoding of a delta, and of each page of a snapshot.
 */
import { encodeWatchMessage, renumberWatchMessage, type WatchMessage } from '../../distribution/index.ts';

/** What is kept at most; watchers that are together ask for the same few messages within a moment. */
const MAX_KEPT_BYTES = 8 * 1024 * 1024;

/** See the top of the file. */
export class WatchEncoder {
  /** Messages encoded so far, copies not counted. */
  encodings = 0;
  /** By what makes a message equal to another one: the stored bytes of its first delta, or a name. */
  private readonly kept = new Map<Buffer | string, { readonly size: number; readonly encoded: Buffer }>();
  private keptBytes = 0;

  /** The bytes of a message. */
  encode(message: WatchMessage): Buffer {
    if (message.kind === 'beat') return encodeWatchMessage(message);
    // Deltas are shared by everybody who reads the change log, so the buffer itself says which one it is.
    const key =
      message.kind === 'batch'
        ? message.deltas[0]!
        : `${message.incarnation} ${message.version} ${message.page} ${message.isLast}`;
    const size = message.kind === 'batch' ? message.deltas.length : message.routes.length;
    const known = this.kept.get(key);
    if (known?.size === size) return renumberWatchMessage(known.encoded, message.seq);
    const encoded = encodeWatchMessage(message);
    this.encodings++;
    if (this.keptBytes + encoded.length > MAX_KEPT_BYTES) this.forget();
    this.kept.set(key, { size, encoded });
    this.keptBytes += encoded.length - (known?.encoded.length ?? 0);
    return encoded;
  }

  /** Gives the memory back. */
  forget(): void {
    this.kept.clear();
    this.keptBytes = 0;
  }
}
