/**
 * Redis' file format, as far as single values and libraries of functions need it: DUMP writes one, RESTORE reads one. Pure code that knows no key, no
 * view and no body; what is read comes from the network and is believed in nothing.
 *
 * `rdb-reader` and `rdb-writer` have lengths and strings, `listpack` and `old-forms` what lies inside strings, `objects` the types, `streams` the one
 * that needs more, `payload` the frame with version and checksum, `functions` libraries in it.
 */

export { RdbFormatError } from './errors.ts';
export { readFunctions, writeFunctions } from './functions.ts';
export type { RdbField, RdbMember, RdbValue } from './objects.ts';
export { isPayload, readPayload, writePayload } from './payload.ts';
export type { RdbStream, RdbStreamGroup } from './streams.ts';
