/** Calls of the service `kvorum.v1.Snapshots`. */
import grpc from '@grpc/grpc-js';
import { type GroupId, type HlcTimestamp, hlcTimestamp, type Millis } from '../../../platform/index.ts';
import { type CallerCertificates, channelSecurity, type Secret } from '../../../security/index.ts';
import { tokenOptions } from '../../../token-header.ts';
import { AdminCallError } from '../admin/index.ts';
import { snapshotsDefinition } from '../definition.ts';

const MAX_PIECE_BYTES = 4 << 20;

/** What comes of a copy: pieces of the manifest first, then of the segments in its order. */
export interface SnapshotPart {
  readonly manifest?: Buffer;
  readonly piece?: Buffer;
}

/** A connection to one node. */
export class SnapshotClient {
  private readonly client: grpc.Client;

  /** @param address `host:port` @param certificates undefined: plain text @param token shown with every call */
  constructor(address: string, certificates?: CallerCertificates, token?: Secret) {
    const { credentials, options } = channelSecurity(certificates);
    this.client = new grpc.Client(address, credentials, {
      ...options,
      ...tokenOptions(token && (() => token.reveal())),
      'grpc.max_receive_message_length': MAX_PIECE_BYTES,
      'grpc.enable_channelz': 0,
    });
  }

  /** A moment at or after everything that the group acknowledged. @throws AdminCallError */
  point(group: GroupId, timeoutMs: Millis): Promise<HlcTimestamp> {
    const { path, requestSerialize, responseDeserialize } = snapshotsDefinition().Point!;
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { groupId: group },
        { deadline: Date.now() + timeoutMs },
        (error, reply) => {
          if (error !== null) reject(new AdminCallError(error));
          else resolve(hlcTimestamp(BigInt((reply as { at: string }).at)));
        },
      );
    });
  }

  /**
   * A copy of the group at the moment; leaving the loop ends the call.
   * @param have sha-256 of segments that need not be sent
   * @throws AdminCallError
   */
  async *copy(
    group: GroupId,
    at: HlcTimestamp,
    have: readonly string[],
    signal: AbortSignal,
  ): AsyncGenerator<SnapshotPart> {
    const { path, requestSerialize, responseDeserialize } = snapshotsDefinition().Copy!;
    const request = { groupId: group, at: at.toString(), have };
    const call = this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, {});
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      for await (const part of call) yield part as SnapshotPart;
    } catch (error) {
      throw new AdminCallError(error as grpc.ServiceError);
    } finally {
      signal.removeEventListener('abort', cancel);
      call.on('error', () => undefined);
      call.cancel();
    }
  }

  close(): void {
    this.client.close();
  }
}
