/** The Redis version whose commands and texts the front end follows; what HELLO and INFO tell clients. */
export const SERVER_VERSION = '7.0.15';
