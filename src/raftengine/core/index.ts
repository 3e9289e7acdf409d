export { EMPTY_CONF, membersOf, nextConf, simpleConf } from './conf-changer.ts';
export { decodeConfChange, encodeConfChange } from './conf-codec.ts';
export { type ConfChangeRefusal, ConfChangeRefusedError, TransferRefusedError } from './errors.ts';
export type { RaftCoreOptions, RaftStatus } from './options.ts';
export { isVoter, quorumValue } from './quorum.ts';
export { RaftCore } from './raft.ts';
export * from './types.ts';
