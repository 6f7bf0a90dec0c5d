"""Metrics of generated videos and skeletons: arrays in, numbers out, without tables or runs.

Table 2 of the CSG-405 paper (Yang et al., ICCV 2025): SSIM and PSNR (`pictures`) where the truth is known; where it is not, FID
and FVD (`frechet` on features of `inception` and `i3d`), CSIM (`identity`), Sync-C and Sync-D (`sync`).
Without any net, on skeletons alone: `skeletons`, `beats`, `gestures`.
"""
