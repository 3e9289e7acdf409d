/**
 * Accepted sockets that read into one buffer of the process. A socket of `node:net` allocates 64 KiB for every read and shrinks
 * it to what has arrived; with small commands that, and the collector's work after it, costs more than the read itself.
 */
import { Socket } from 'node:net';

/** As much as libuv offers to one read. */
const READ_BYTES = 65_536;
const SLAB_BYTES = 65_536;

/** Chunks are cut from slabs; what is larger than a quarter of one gets memory of its own, so that little is wasted. */
class ChunkSlabs {
  private slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  private used = 0;

  copyOf(bytes: Uint8Array, length: number): Buffer {
    let chunk: Buffer;
    if (length > SLAB_BYTES >> 2) {
      chunk = Buffer.allocUnsafeSlow(length);
    } else {
      if (this.used + length > SLAB_BYTES) {
        this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
        this.used = 0;
      }
      chunk = this.slab.subarray(this.used, this.used + length);
      this.used += length;
    }
    chunk.set(length === bytes.length ? bytes : bytes.subarray(0, length));
    return chunk;
  }
}

/** What `node:net` keeps in a socket and takes as an option, but does not declare. */
interface HandleOwner {
  _handle: object | null;
  _server: unknown;
  server: unknown;
}

/**
 * Moves accepted sockets to ones that read into a shared buffer and emit `data` with copies. One per listener; the listener
 * must have been made with `pauseOnConnect`, so that nothing is read before the move.
 */
export class SharedReads {
  private readonly readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
  private readonly chunks = new ChunkSlabs();

  /**
   * @param accepted a paused socket that nobody listens to; it must not be used afterwards
   * @returns the socket to use; listeners must be added in the same turn
   */
  adopt(accepted: Socket): Socket {
    // `onread` exists only for sockets that connect: an accepted one has to hand over its handle.
    const from = accepted as unknown as HandleOwner;
    const handle = from._handle;
    if (handle === null || handle === undefined) return accepted;
    from._handle = null;
    const options = {
      handle,
      allowHalfOpen: true,
      onread: {
        buffer: this.readBuffer,
        callback: (length: number, bytes: Uint8Array): boolean => {
          socket.emit('data', this.chunks.copyOf(bytes, length));
          return true;
        },
      },
    };
    const socket: Socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
    // The server counts its connections down when the socket that it knows is destroyed.
    const to = socket as unknown as HandleOwner;
    to.server = from.server;
    to._server = from._server;
    from.server = null;
    from._server = null;
    return socket;
  }
}
