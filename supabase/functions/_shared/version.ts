/** Of the functions, as `/health` and CHANGELOG.md name it. */
export const VERSION = "0.1.0";
