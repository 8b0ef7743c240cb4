import type { NextConfig } from "next";

const config: NextConfig = {
  allowedDevOrigins: ["127.0.0.1"], // or the page stays dead there, and can't say why signing in is refused
};

export default config;
