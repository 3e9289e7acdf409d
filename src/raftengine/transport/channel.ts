/** How this node dials another one, whatever for. */
import grpc from '@grpc/grpc-js';
import { channelSecurity, type LiveCertificates } from '../../security/index.ts';
import { MAX_MESSAGE_BYTES } from './peer-protocol.ts';

/** A connection that does not open, or does not move, in this time is given up. */
export const STALL_MS = 5000;

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  // Own sockets for every channel: sharing them is what the lanes are there to avoid.
  'grpc.use_local_subchannel_pool': 1,
  // Retries keep copies of what was sent; Raft retransmits by itself.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
  'grpc-node.max_session_memory': 256,
  // A peer that is cut off shows within seconds even when nothing is sent.
  'grpc.keepalive_time_ms': 2000,
  'grpc.keepalive_timeout_ms': STALL_MS,
  'grpc.keepalive_permit_without_calls': 0,
};

/** What this node shows to peers, and checks them by. */
export interface PeerTls {
  readonly certificates: LiveCertificates;
  /** Names in certificates whose holders may be peers; empty: every holder of a certificate may. */
  readonly nodeNames: readonly string[];
}

/**
 * A channel of its own to `address`, with the certificates of this moment; nothing is dialled before the first call.
 * @param tls undefined: plain text
 */
export function openChannel(address: string, tls: PeerTls | undefined): grpc.Client {
  const { credentials, options } = channelSecurity(tls?.certificates.current, tls?.nodeNames);
  return new grpc.Client(address, credentials, { ...CHANNEL_OPTIONS, ...options });
}
