/** The service `kvorum.v1.Snapshots` over a `GroupArchive`: copies of groups as a stream of pieces. */
import type grpc from '@grpc/grpc-js';
import type { GroupArchive } from '../../../cluster/index.ts';
import { assert, type GroupId, groupId, type HlcTimestamp, hlcTimestamp } from '../../../platform/index.ts';
import { encodeManifest } from '../../../store/index.ts';
import { invalid, OpenStreams, RequestError, type StreamCall, timeLeft, unary } from '../calls.ts';
import { snapshotsDefinition } from '../definition.ts';

/** Each holds a cut of a whole group on the disk. */
const MAX_COPIES = 2;
const PIECE_BYTES = 512 << 10;
/** Longest wait for what is open at the moment. */
const CLOSE_TIMEOUT_MS = 20_000;

interface PointRequest {
  readonly groupId: number;
}

interface CopyRequest {
  readonly groupId: number;
  readonly at: string;
  readonly have: readonly string[];
}

/** The snapshot service of one node. */
export interface SnapshotService {
  addTo(server: Pick<grpc.Server, 'addService'>): void;
  /** Ends the streams; call before the server shuts down. */
  close(): void;
}

function groupOf(id: number): GroupId {
  if (!Number.isInteger(id) || id < 1) throw invalid('name a group by its id');
  return groupId(id);
}

function timestampOf(text: string): HlcTimestamp {
  if (!/^\d{1,20}$/.test(text)) throw invalid('a moment is a timestamp in decimal');
  return hlcTimestamp(BigInt(text));
}

/** Makes the service. */
export function createSnapshotService(archive: GroupArchive): SnapshotService {
  const streams = new OpenStreams();
  let copies = 0;
  async function* copy({ groupId: id, at, have }: CopyRequest, timeoutMs: number, signal: AbortSignal) {
    const [group, moment] = [groupOf(id), timestampOf(at)];
    if (copies >= MAX_COPIES) throw new RequestError('BUSY', 'wait', 'this node sends copies already; try again later');
    copies += 1;
    try {
      const cut = await archive.cut(group, moment, Math.min(CLOSE_TIMEOUT_MS, timeoutMs));
      try {
        const manifest = encodeManifest(cut.manifest);
        for (let from = 0; from < manifest.length; from += PIECE_BYTES) {
          yield { manifest: manifest.subarray(from, from + PIECE_BYTES) };
        }
        const known = new Set(have);
        for (const segment of cut.manifest.segments) {
          if (known.has(segment.sha256)) continue;
          for await (const piece of cut.frames(segment)) {
            if (signal.aborted) return;
            yield { piece };
          }
        }
      } finally {
        await cut.close();
      }
    } finally {
      copies -= 1;
      assert(copies >= 0, 'a copy ends once');
    }
  }
  const handlers: grpc.UntypedServiceImplementation = {
    Point: unary<PointRequest>(async ({ groupId: id }) => ({ at: (await archive.point(groupOf(id))).toString() })),
    Copy: (call: StreamCall) => {
      streams.serve(call, (signal) => copy(call.request as CopyRequest, timeLeft(call), signal));
    },
  };
  return {
    addTo: (server) => server.addService(snapshotsDefinition(), handlers),
    close: () => streams.close(),
  };
}
