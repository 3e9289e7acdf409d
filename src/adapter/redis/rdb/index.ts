/**
 * Redis' file format: DUMP writes a value in it, RESTORE reads one, libraries of functions come and go in it, and files are read as they come. Pure
 * code that knows no view and no body; what is read comes from the network and is believed in nothing.
 *
 * `rdb-reader` and `rdb-writer` have lengths and strings, `listpack` and `old-forms` what lies inside strings, `objects` the types, `streams` the one
 * that needs more, `payload` the frame with version and checksum, `functions` libraries in it. `file-parser` reads files, by the extents of `layout`,
 * and large values in the parts of `large-value`.
 */

export { RdbFormatError } from './errors.ts';
export { RdbFileParser, type RdbKey, type RdbRecord } from './file-parser.ts';
export { readFunctions, writeFunctions } from './functions.ts';
export { valueParts } from './large-value.ts';
export type { RdbField, RdbMember, RdbValue } from './objects.ts';
export { framePayload, isPayload, readPayload, writePayload } from './payload.ts';
export type { RdbStream, RdbStreamGroup } from './streams.ts';
