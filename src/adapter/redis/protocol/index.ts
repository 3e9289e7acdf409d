/**
 * RESP on the wire and the values that it carries: requests are parsed, replies are written, arguments are read and errors are worded
 * as Redis does it. Knows no keys and no commands.
 */

export {
  countArgument,
  cursorArgument,
  integerArgument,
  memoryBytes,
  optionName,
  smallIntegerArgument,
  timeoutArgument,
  wordOf,
} from './arguments.ts';
export { type ClientStream, writeSegments } from './client-stream.ts';
export { doubleText, fixedText, generalText, humanText, parseDouble, readDoublePrefix } from './doubles.ts';
export { BEHIND, BehindError, errorText, FeatureInactiveError, featureText, isUnexpected } from './errors.ts';
export { globMatches } from './glob.ts';
export {
  INT64_MAX,
  INT64_MIN,
  isBackwards,
  parseInteger,
  parseShortInteger,
  requireInt32,
  requireInteger,
  requirePosition,
} from './integers.ts';
export { encodeLongArray } from './long-array.ts';
export {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  EncodedParts,
  EncodedReply,
  ErrorReply,
  errors,
  MapReply,
  NIL_ARRAY,
  NilArrayReply,
  NO_REPLY,
  OK,
  PONG,
  PushReply,
  QUEUED,
  RedisError,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from './reply.ts';
export { bulkIn, errorTextIn, integerIn, splitArrayReply } from './reply-reader.ts';
export { encodeReply, encodeReplyParts, ReplyWriter } from './reply-writer.ts';
export { ProtocolError, RespParser, readAgain, splitInline } from './resp-parser.ts';
export { isHttp, unknownCommandReply, unknownSubcommandReply } from './unknown-command.ts';
export { SERVER_VERSION } from './version.ts';
