"""What a LoRA's file tells of its training, in the words of kohya's sd-scripts, which the WebUI shows."""

from collections import Counter
from pathlib import PurePosixPath

from diffusion import dataset
from diffusion.channels import Parent
from diffusion.lora_file import told
from diffusion.order import Look, Order
from diffusion.recipe import Recipe


def of_recipe(recipe: Recipe) -> dict[str, str]:
    """Tell what was asked for."""
    unet, text = recipe.rates
    optimizer = f"torch.optim.{recipe.optimizer_type}(weight_decay={recipe.weight_decay})"
    facts: dict[str, object] = {
        "ss_output_name": recipe.output_name,
        "ss_learning_rate": recipe.learning_rate,
        "ss_unet_lr": unet,
        "ss_text_encoder_lr": text or None,
        "ss_lr_scheduler": recipe.lr_scheduler,
        "ss_lr_warmup_steps": recipe.lr_warmup_steps,
        "ss_optimizer": optimizer,
        "ss_network_module": recipe.network_module,
        "ss_network_dim": recipe.network_dim,
        "ss_network_alpha": recipe.alpha,
        "ss_network_dropout": recipe.network_dropout or None,
        "ss_mixed_precision": recipe.mixed_precision,
        "ss_gradient_checkpointing": recipe.gradient_checkpointing,
        "ss_gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "ss_batch_size_per_device": recipe.train_batch_size,
        "ss_total_batch_size": recipe.train_batch_size * recipe.gradient_accumulation_steps,
        "ss_max_grad_norm": recipe.max_grad_norm,
        "ss_min_snr_gamma": recipe.min_snr_gamma or None,
        "ss_noise_offset": recipe.noise_offset or None,
        "ss_caption_dropout_rate": recipe.caption_dropout_rate,
        "ss_shuffle_caption": recipe.shuffle_caption,
        "ss_keep_tokens": recipe.keep_tokens,
        "ss_flip_aug": recipe.flip_aug,
        "ss_clip_skip": recipe.clip_skip,
        "ss_max_token_length": recipe.max_token_length,
        "ss_seed": recipe.seed,
        "ss_resolution": f"({recipe.resolution.width}, {recipe.resolution.height})",
        "ss_enable_bucket": recipe.enable_bucket,
        "ss_min_bucket_reso": recipe.shortest,
        "ss_max_bucket_reso": recipe.max_bucket_reso,
        "ss_bucket_no_upscale": recipe.bucket_no_upscale,
        "ss_training_comment": recipe.training_comment or None,
        "ss_cache_latents": True,
    }
    return {name: told(value) for name, value in facts.items()}


def of_job(order: Order, looks: list[Look], parent: Parent, started: str) -> dict[str, str]:
    """Tell what it was learned from, and since when."""
    pictures = [each.picture for each in looks]
    sizes = Counter(f"{each.bucket.width}, {each.bucket.height}" for each in looks)
    numbered = enumerate(sorted(sizes.items()))
    facts: dict[str, object] = {
        "ss_sd_model_name": PurePosixPath(parent.name).name,
        "ss_sd_model_hash": (parent.sha256 or "")[:10],
        "ss_new_sd_model_hash": parent.sha256,
        "ss_base_model_version": "sd_v1",
        "ss_v2": False,
        "ss_training_started_at": started,
        "ss_num_train_images": sum(each.repeats for each in pictures),
        "ss_num_reg_images": 0,
        "ss_num_batches_per_epoch": order.batches,
        "ss_num_epochs": order.epochs,
        "ss_max_train_steps": order.steps,
        "ss_tag_frequency": {"dataset": dict(dataset.tags(pictures).most_common(1000))},
        "ss_dataset_dirs": {"dataset": {"n_repeats": 1, "img_count": len(pictures)}},
        "ss_bucket_info": {
            "buckets": {
                str(number): {"resolution": [int(side) for side in size.split(", ")], "count": count}
                for number, (size, count) in numbered
            }
        },
    }
    return {name: told(value) for name, value in facts.items()}
