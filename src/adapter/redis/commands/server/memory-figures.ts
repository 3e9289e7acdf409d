/** What the memory of the process is used for, as far as anybody can tell. What it takes of the machine is what is used: most lies outside of the heap. */
import { ownMemoryBytes } from '../../../../platform/index.ts';
import type { ServerContext } from '../../command/index.ts';

export interface MemoryFigures {
  /** Taken of the machine, see `ownMemoryBytes`. */
  readonly usedBytes: number;
  /** With pages of files that are mapped. */
  readonly residentBytes: number;
  /** The most since the start. */
  readonly peakBytes: number;
  /** When the server was made. */
  readonly startupBytes: number;
  /** Objects and buffers in use. */
  readonly heapBytes: number;
  /** Reserved for them. */
  readonly heapReservedBytes: number;
  /** Buffers alone. */
  readonly bufferBytes: number;
  /** What clients have half sent, or left unread. */
  readonly clientBytes: number;
}

const BYTES_PER_KIB = 1024;

/** Looks at the process and at the connections now. */
export function memoryFigures({ connections, startupBytes }: ServerContext): MemoryFigures {
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  let clientBytes = 0;
  for (const { queryBufferBytes, unreadReplyBytes } of connections.values())
    clientBytes += queryBufferBytes + unreadReplyBytes;
  return {
    usedBytes: ownMemoryBytes(),
    residentBytes: rss,
    peakBytes: Math.max(rss, process.resourceUsage().maxRSS * BYTES_PER_KIB),
    startupBytes,
    heapBytes: heapUsed + external,
    heapReservedBytes: heapTotal + external,
    bufferBytes: external,
    clientBytes,
  };
}
