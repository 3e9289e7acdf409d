/** Speaks to servers of the Redis protocol: kvorum's own nodes, and those that data comes from. */
export { type Argument, type CommandLine, encodeCommand } from './command-bytes.ts';
export { type LinkSecurity, type LinkTarget, openConnection } from './connection.ts';
export { Lane, openFirst, type Upstream } from './lane.ts';
export { Link, LinkClosedError } from './link.ts';
export { errorMessage, isErrorReply, isPush, ReplySplitter } from './reply-splitter.ts';
export { decodeReply, type ReplyValue, ServerError } from './reply-value.ts';
export { addSecurityOptions, type SecurityFlags, securityOf } from './security.ts';
export { parseServer, type ServerAddress, serverSecurityOf } from './server-address.ts';
